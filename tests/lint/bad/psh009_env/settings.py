import environ

env = environ.Env(DEBUG=(bool, False))
environ.Env.read_env()
INSTALLED_APPS = ["django.contrib.auth"]
SECURE_PROXY_SSL_HEADER = env.tuple("PROXY_SSL_HEADER", default=("HTTP_X_FORWARDED_PROTO", "https"))
