{{- /* What the schema cannot say, since it depends on more than one value: nothing is installed that the
API server or the program would refuse later. */}}
{{- define "kubetorch-webhook.checks" -}}
{{- include "kubetorch-webhook.checks.resources" .Values.resources -}}
{{- include "kubetorch-webhook.checks.disruption" .Values -}}
{{- include "kubetorch-webhook.checks.volumes" .Values -}}
{{- include "kubetorch-webhook.checks.arguments" .Values -}}
{{- end }}

{{- define "kubetorch-webhook.checks.resources" -}}
{{- $requests := .requests | default dict -}}
{{- $limits := .limits | default dict -}}
{{- range $name, $value := $requests -}}
{{- $limit := get $limits $name -}}
{{- if and (not (kindIs "invalid" $value)) (not (kindIs "invalid" $limit)) (ne (toString $limit) "") -}}
{{- if gt (include "kubetorch-webhook.quantity" $value | float64) (include "kubetorch-webhook.quantity" $limit | float64) -}}
{{- fail (printf "resources.requests.%s is %v, and resources.limits.%s is %v: a pod may not ask for more than its limit" $name $value $name $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $what, $quantities := dict "requests" $requests "limits" $limits -}}
{{- range $name, $value := $quantities -}}
{{- if and (ne $name "cpu") (not (kindIs "invalid" $value)) -}}
{{- $least := 1048576 -}}
{{- $why := "that is less than 1Mi; give it a unit, such as 512Mi" -}}
{{- if and (eq $what "limits") (eq $name "memory") -}}
{{- $least = 33554432 -}}
{{- $why = "in an empty cluster a replica takes some 20Mi, in others more; 512Mi is what it comes with" -}}
{{- end -}}
{{- if lt (include "kubetorch-webhook.quantity" $value | float64) (float64 $least) -}}
{{- fail (printf "resources.%s.%s is %v: %s" $what $name $value $why) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* A quantity as a number. */}}
{{- define "kubetorch-webhook.quantity" -}}
{{- if kindIs "string" . -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- printf "%.3f" (mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[A-Za-z]*$" .))) -}}
{{- else -}}
{{- printf "%.3f" (float64 .) -}}
{{- end -}}
{{- end }}

{{- define "kubetorch-webhook.checks.disruption" -}}
{{- $stay := .disruptionBudget.minAvailable -}}
{{- if kindIs "string" $stay -}}
{{- $stay = ceil (divf (mulf (trimSuffix "%" $stay | float64) (float64 .replicas)) 100.0) -}}
{{- end -}}
{{- if ge (float64 $stay) (float64 .replicas) -}}
{{- fail (printf "disruptionBudget.minAvailable is %v of %v replicas: none could ever be evicted, and no node with one be drained; let it be less than replicas" .disruptionBudget.minAvailable .replicas) -}}
{{- end -}}
{{- end }}

{{- define "kubetorch-webhook.checks.volumes" -}}
{{- $volumes := list -}}
{{- range .extraVolumes -}}
{{- if has .name $volumes -}}{{- fail (printf "extraVolumes has two of the name %s" .name) -}}{{- end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- $paths := list -}}
{{- range .extraVolumeMounts -}}
{{- if not (has .name $volumes) -}}{{- fail (printf "extraVolumeMounts mounts %s at %s, which extraVolumes does not have" .name .mountPath) -}}{{- end -}}
{{- if has .mountPath $paths -}}{{- fail (printf "extraVolumeMounts has two for %s" .mountPath) -}}{{- end -}}
{{- $paths = append $paths .mountPath -}}
{{- end -}}
{{- end }}

{{- define "kubetorch-webhook.checks.arguments" -}}
{{- $stated := dict -}}
{{- range .extraArgs -}}
{{- $flag := regexFind "^--[a-z-]+" . -}}
{{- if hasKey $stated $flag -}}{{- fail (printf "extraArgs has %s twice" $flag) -}}{{- end -}}
{{- $_ := set $stated $flag (trimPrefix (printf "%s=" $flag) .) -}}
{{- end -}}
{{- range $flag, $other := dict "--client-names" "--client-ca-file" "--trace-sampling" "--trace-endpoint" -}}
{{- if and (hasKey $stated $flag) (not (hasKey $stated $other)) -}}{{- fail (printf "extraArgs has %s, which needs %s" $flag $other) -}}{{- end -}}
{{- end -}}
{{- $file := get $stated "--client-ca-file" -}}
{{- $mounted := eq $file "" -}}
{{- range .extraVolumeMounts -}}
{{- if or (eq $file .mountPath) (hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $file) -}}{{- $mounted = true -}}{{- end -}}
{{- end -}}
{{- if not $mounted -}}{{- fail (printf "extraArgs has --client-ca-file=%s, and no mountPath of extraVolumeMounts puts a file there" $file) -}}{{- end -}}
{{- $lifetimes := list "--leaf-lifetime" "--ca-lifetime" "--ca-overlap" -}}
{{- if ne .certificates.source "self-managed" -}}
{{- range $lifetimes -}}
{{- if hasKey $stated . -}}{{- fail (printf "extraArgs has %s, which is of no use where certificates.source is not self-managed" .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- /* The defaults of the program. */ -}}
{{- $leaf := include "kubetorch-webhook.seconds" (get $stated "--leaf-lifetime" | default "168h") | atoi -}}
{{- $ca := include "kubetorch-webhook.seconds" (get $stated "--ca-lifetime" | default "8760h") | atoi -}}
{{- $overlap := include "kubetorch-webhook.seconds" (get $stated "--ca-overlap" | default "5m") | atoi -}}
{{- $need := mul 3 (add $leaf (mul 2 $overlap)) -}}
{{- if lt $ca (int $need) -}}
{{- fail (printf "extraArgs has --ca-lifetime=%s, and it must be at least %ds: 3 x (--leaf-lifetime + 2 x --ca-overlap)" (get $stated "--ca-lifetime" | default "8760h") $need) -}}
{{- end -}}
{{- end }}

{{- /* A duration in whole hours, minutes and seconds as a number. */}}
{{- define "kubetorch-webhook.seconds" -}}
{{- $h := regexFind "[0-9]+h" . | trimSuffix "h" | default "0" | atoi -}}
{{- $m := regexFind "[0-9]+m" . | trimSuffix "m" | default "0" | atoi -}}
{{- $s := regexFind "[0-9]+s" . | trimSuffix "s" | default "0" | atoi -}}
{{- add (mul 3600 $h) (mul 60 $m) $s -}}
{{- end }}
