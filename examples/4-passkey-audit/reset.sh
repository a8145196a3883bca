#!/bin/sh
# Stop the server that this script has started before, delete app.db and app.log, and start a server: PORT=… to change.
set -eu
cd "$(dirname "$0")"
PORT="${PORT:-8000}"
PATH="$PATH:$(cd ../.. && pwd)/.venv/bin"

FOLDER="$(pwd)"

# Its process, unless another one has the same number by now.
is_running() { [ -s app.pid ] && ps -ww -p "$(cat app.pid)" -o args= | grep -qF -- "main:app --app-dir $FOLDER --port"; }

if is_running; then
  kill "$(cat app.pid)"
  while is_running; do sleep 0.1; done
fi
python3 reset_db.py
rm -f app.pid  # it may be a link
echo "$$" > app.pid
export PASSGATE_PORT="$PORT"
exec uvicorn main:app --app-dir "$FOLDER" --port "$PORT" --timeout-graceful-shutdown 5
