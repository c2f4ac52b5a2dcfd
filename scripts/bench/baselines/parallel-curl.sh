#!/usr/bin/env bash
# GNU parallel and curl: a call every 60 s / 30, so many at the same time. curl itself tries a refused call again: as late
# as the API says, else 1, 2, 4 … seconds later, which it cannot scale down.
set -euo pipefail
manifest=$1
export OUT=$2

edit() {
  { printf '{"prompt":"%s","size":"%s","image_b64":"' "$3" "$4"; base64 -w0 "$2"; printf '"}'; } |
    curl -sS --fail --retry 9 -H "Authorization: Bearer $API_KEY" -H 'Content-Type: application/json' --data-binary @- \
      "$API_URL/openapi/v1/image/gpt-image-2/i2i" |
    jq -r '.data[0].b64_json' | base64 -d >"$OUT/$1.png"
}
export -f edit

delay=$(awk "BEGIN { printf \"%.4f\", $WINDOW_MS / $LIMIT / 1000 }")
parallel -j "$CONCURRENCY" --delay "$delay" --colsep , --header : edit '{id}' '{image}' '{prompt}' '{size}' :::: "$manifest"
