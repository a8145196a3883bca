#!/bin/sh
# Stop the server that this script has started before, delete app.db and app.log, and start a server: PORT=… to change.
set -eu
cd "$(dirname "$0")"
PORT="${PORT:-8000}"
PATH="$PATH:$(cd ../.. && pwd)/.venv/bin"

if [ -s app.pid ] && ps -p "$(cat app.pid)" -o args= | grep -q "[m]ain:app"; then
  kill "$(cat app.pid)"
  while ps -p "$(cat app.pid)" >/dev/null; do sleep 0.1; done
fi
python3 reset_db.py
echo "$$" > app.pid
export PASSGATE_PORT="$PORT"
exec uvicorn main:app --port "$PORT"
