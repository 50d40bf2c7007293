#!/bin/sh
# What a container does: `serve` (the app alone), `workspace` (the local platform), or any command.
set -eu

case "${1:-serve}" in
serve)
    # as config.json says; exec, so that signals reach the server
    exec python3 -m uvicorn serve.main:m.app --host "${SAM2_SERVING_HOST}" \
        --port "${SAM2_SERVING_PORT}" --ws websockets --timeout-keep-alive 75
    ;;
workspace)
    # A page that comes through a published port is not of this machine, so it needs the token;
    # it is made once and kept with the data.
    kept="${SAM2_SERVING_WORKSPACE_DATA_DIR}/owner-token"
    if [ -z "${SAM2_SERVING_WORKSPACE_TOKEN:-}" ]; then
        if [ ! -s "${kept}" ]; then
            (umask 077 && python3 -c 'import secrets; print(secrets.token_urlsafe(24))' >"${kept}")
        fi
        SAM2_SERVING_WORKSPACE_TOKEN="$(cat "${kept}")"
        export SAM2_SERVING_WORKSPACE_TOKEN
    fi
    echo "Open the page once as ${SAM2_SERVING_PAGE_URL:-http://localhost:8080}/?token=${SAM2_SERVING_WORKSPACE_TOKEN}"
    exec python3 -m sam2_serving.workspace
    ;;
*)
    exec "$@"
    ;;
esac
