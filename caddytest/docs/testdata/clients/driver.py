"""Calls the functions of docs/clients.md: driver.py FUNCTION ARGUMENT..."""
import json
import sys

from aside import create, get_or_compute
from binary import get_bytes, put_bytes
from many import bulk, get_many
from update import update
from watch import watch


def say(*words):
    print(*words, flush=True)


def say_all(answers):
    for answer in answers:
        say(answer["status"] if answer else "none")


def computed(value):
    say("computing")
    return json.loads(value)


def changed(value):
    say("changing", json.dumps(value))
    sys.stdin.readline()
    return value + 1


def run(function, *args):
    if function == "get_or_compute":
        say(json.dumps(get_or_compute(args[0], lambda: computed(args[1]))))
    elif function == "create":
        say(json.dumps(create(args[0], json.loads(args[1]), *map(int, args[2:]))))
    elif function == "update":
        say(update(args[0], changed, *map(int, args[1:])))
    elif function == "get_many":
        found = get_many(args)
        for key in sorted(found):
            value = found[key]
            say(key, value.hex() if isinstance(value, bytes) else json.dumps(value))
    elif function == "bulk":
        try:
            say_all(bulk([json.loads(line) for line in sys.stdin]))
        except Exception as e:
            say_all(e.answers)
            raise
    elif function == "bytes":
        put_bytes(args[0], bytes.fromhex(args[1]), args[2])
        data, content_type = get_bytes(args[0])
        say(data.hex(), content_type, get_bytes("none"))
    elif function == "put_file":
        with open(args[1], "rb") as file:
            put_bytes(args[0], file)
    elif function == "watch":
        for event, key in watch(args[0]):
            say(event, key or "")


try:
    run(*sys.argv[1:])
except Exception as e:
    say("failed:", e)
