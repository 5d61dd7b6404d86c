package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Document says what an SPDX document is about.
type Document struct {
	// Name and Version are those of the product, Digest that of its image.
	Name, Version, Digest string
	// Created is the moment of the build.
	Created time.Time
	Modules []Module
}

const noAssertion = "NOASSERTION"

type spdx struct {
	Version       string         `json:"spdxVersion"`
	DataLicense   string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      spdxCreation   `json:"creationInfo"`
	Packages      []spdxPackage  `json:"packages"`
	Relationships []spdxRelation `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID         string         `json:"SPDXID"`
	Name       string         `json:"name"`
	Version    string         `json:"versionInfo,omitempty"`
	Location   string         `json:"downloadLocation"`
	Analyzed   bool           `json:"filesAnalyzed"`
	Concluded  string         `json:"licenseConcluded"`
	Declared   string         `json:"licenseDeclared"`
	Copyright  string         `json:"copyrightText"`
	Purpose    string         `json:"primaryPackagePurpose,omitempty"`
	Source     string         `json:"sourceInfo,omitempty"`
	Checksums  []spdxChecksum `json:"checksums,omitempty"`
	References []spdxRef      `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelation struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// unfit is what an SPDX identifier cannot hold.
var unfit = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// SPDX is the document in SPDX 2.3's JSON: an image that contains a program that is made of
// modules.
func (d Document) SPDX() ([]byte, error) {
	const image, program = "SPDXRef-Image", "SPDXRef-Program"
	s := spdx{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: d.Name + "-" + d.Version,
		Namespace: fmt.Sprintf("https://github.com/kubetorch/webhook/spdx/%s-%x", d.Version, sha256.Sum256([]byte(d.Digest+d.Version))),
		Creation:  spdxCreation{Created: d.Created.UTC().Format(time.RFC3339), Creators: []string{"Organization: kubetorch", "Tool: github.com/kubetorch/webhook/hack/release"}},
		Relationships: []spdxRelation{
			{"SPDXRef-DOCUMENT", "DESCRIBES", image}, {image, "CONTAINS", program},
		},
	}
	algorithm, value, _ := strings.Cut(d.Digest, ":")
	s.Packages = append(s.Packages, spdxPackage{
		ID: image, Name: d.Name, Version: d.Version, Location: noAssertion, Concluded: "Apache-2.0", Declared: "Apache-2.0", Copyright: noAssertion,
		Purpose: "CONTAINER", Checksums: []spdxChecksum{{strings.ToUpper(algorithm), value}},
	})
	for i, m := range d.Modules {
		p := spdxPackage{
			ID: "SPDXRef-Module-" + unfit.ReplaceAllString(m.Path, "-"), Name: m.Path, Version: m.Version, Location: noAssertion,
			Concluded: cmp.Or(m.License, noAssertion), Declared: cmp.Or(m.License, noAssertion), Copyright: noAssertion, Purpose: "LIBRARY",
		}
		if i == 0 {
			p.ID, p.Version, p.Purpose = program, d.Version, "APPLICATION"
		} else {
			s.Relationships = append(s.Relationships, spdxRelation{program, "DEPENDS_ON", p.ID})
			p.References = []spdxRef{{"PACKAGE-MANAGER", "purl", purl(m)}}
		}
		if m.Sum != "" {
			p.Source = "go.sum: " + m.Sum
		}
		s.Packages = append(s.Packages, p)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

func purl(m Module) string {
	if m.Path == "std" {
		return "pkg:golang/std@" + m.Version
	}
	return "pkg:golang/" + strings.ToLower(m.Path) + "@" + m.Version
}
