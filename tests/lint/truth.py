"""What Django really does with each form of a setting: forms.txt on stdin, JSON on stdout.

OK: a request with `X-Forwarded-Proto: https` is secure. LOOP: it is redirected to itself. CRASH: it raises, as every
request would. A form is asked in the empty environment and in each that it names; the worst counts.
"""

import json
import os
import sys

import django
from django.conf import settings
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.test import RequestFactory, override_settings

settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
django.setup()


def outcome(code, environment):
    saved = dict(os.environ)
    os.environ.update(environment)
    try:
        module = {"__name__": "project.settings", "DEBUG": False}
        exec(compile(code, "settings.py", "exec"), module)
        value = module.get("SECURE_PROXY_SSL_HEADER")
        with override_settings(SECURE_SSL_REDIRECT=True, SECURE_PROXY_SSL_HEADER=value):
            middleware = SecurityMiddleware(lambda request: HttpResponse("ok"))
            for _ in range(2):  # a generator is good for one request
                request = RequestFactory().get("/", headers={"X-Forwarded-Proto": "https", "Host": "example.com"})
                response = middleware(request)
                if response.status_code == 301:
                    return "LOOP"
                if request.scheme != "https":
                    return "LOOP"
        return "OK"
    except Exception as error:
        return f"CRASH {type(error).__name__}"
    finally:
        os.environ.clear()
        os.environ.update(saved)


def main():
    found = {}
    for form in sys.stdin.read().split("\n=== ")[1:]:
        head, _, body = form.partition("\n")
        lines = body.splitlines()
        set_variables = [dict([line[4:].split("=", 1)]) for line in lines if line.startswith("env ") and not line.startswith("env = ")]
        code = "\n".join(line for line in lines if not line.startswith("env ") or line.startswith("env = "))
        outcomes = [outcome(code, environment) for environment in [{}, *set_variables]]
        worst = [one for one in outcomes if one != "OK"] or outcomes
        found[head] = worst[0]
    json.dump(found, sys.stdout)


main()
