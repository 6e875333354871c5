INSTALLED_APPS = ["django.contrib.auth"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
