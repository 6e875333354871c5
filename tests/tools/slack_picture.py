#!/usr/bin/env python3
"""slack_picture.py PAYLOAD.json OUT.png: draws a Slack payload about as Slack does, for the picture in the README.

Needs chromium. The payload is what the webhook received; nothing is added to it.
"""
import html
import json
import re
import subprocess
import sys
import tempfile

COLOURS = {"danger": "#a30200", "warning": "#daa038", "good": "#2eb886"}


def mrkdwn(text):
    def inline(part):
        part = re.sub(r"&lt;!date\^\d+\^[^|]*\|([^&]*)&gt;", r"\1", part)
        part = re.sub(r"&lt;([^|&]+)\|([^&]+)&gt;", r'<a href="\1">\2</a>', part)
        part = re.sub(r"`([^`]+)`", r"<code>\1</code>", part)
        part = re.sub(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])", r"<b>\1</b>", part)
        return part.replace("\n", "<br>")

    # Slack's own three escapes are already in the text: undo them, then escape for HTML
    plain = text.replace("&lt;", "\x01").replace("&gt;", "\x02").replace("&amp;", "&")
    safe = html.escape(plain, quote=False).replace("\x01", "&#60;").replace("\x02", "&#62;")
    parts = re.split(r"```\n?(.*?)\n?```", safe, flags=re.S)
    return "".join(f"<pre>{p}</pre>" if n % 2 else inline(p) for n, p in enumerate(parts))


def block(b):
    kind = b["type"]
    if kind == "header":
        return f"<h1>{html.escape(b['text']['text'])}</h1>"
    if kind == "section":
        out = f"<p>{mrkdwn(b['text']['text'])}</p>" if "text" in b else ""
        if "fields" in b:
            out += "<div class=fields>" + "".join(f"<div>{mrkdwn(f['text'])}</div>" for f in b["fields"]) + "</div>"
        return out
    if kind == "context":
        return "<p class=context>" + " &nbsp; ".join(mrkdwn(e["text"]) for e in b["elements"]) + "</p>"
    return "<hr>"


payload = json.load(open(sys.argv[1]))
body = "".join(block(b) for b in payload.get("blocks", []))
for a in payload.get("attachments", []):
    colour = COLOURS.get(a.get("color"), a.get("color", "#ddd"))
    body += f"<div class=bar style='border-color:{colour}'>" + "".join(block(b) for b in a["blocks"]) + "</div>"
page = f"""<!doctype html><meta charset=utf-8><style>
body{{font:15px/1.46 Lato,'Helvetica Neue',Arial,sans-serif;color:#1d1c1d;background:#fff;margin:16px;width:720px}}
.who{{display:flex;gap:9px}} .icon{{width:36px;height:36px;border-radius:5px;background:#1d1c1d;color:#fff;text-align:center;line-height:36px;font-weight:700;flex:none}}
.app{{font-size:10px;background:#e8e8e8;color:#616061;border-radius:2px;padding:1px 3px;margin:0 6px}} .time{{color:#616061;font-size:12px}}
h1{{font-size:18px;margin:2px 0 6px}} p{{margin:6px 0}} .bar{{border-left:4px solid;border-radius:3px;padding-left:12px;margin-top:4px}}
.fields{{display:grid;grid-template-columns:1fr 1fr;gap:8px 16px;margin:8px 0}} .context{{color:#616061;font-size:13px}}
code{{color:#e01e5a;background:#f6f6f6;border:1px solid #ddd;border-radius:3px;font:12px Monaco,Menlo,monospace;padding:1px 3px;overflow-wrap:anywhere}}
pre{{background:#f6f6f6;border:1px solid #ddd;border-radius:4px;font:12px/1.5 Monaco,Menlo,monospace;padding:8px;white-space:pre-wrap;overflow-wrap:anywhere;margin:6px 0}}
a{{color:#1264a3;text-decoration:none}}
</style><div class=who><div class=icon>ws</div><div style="flex:1;min-width:0"><b>wsprobe</b><span class=app>APP</span><span class=time>3:12 AM</span>{body}</div></div>"""
with tempfile.TemporaryDirectory() as folder:
    open(f"{folder}/page.html", "w").write(page)
    flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --hide-scrollbars".split()
    flags += "--disable-background-networking --disable-component-update --disable-sync".split()
    size = sys.argv[3] if len(sys.argv) > 3 else "760,880"
    subprocess.run(["chromium", *flags, f"--user-data-dir={folder}/profile", f"--window-size={size}",
                    f"--screenshot={sys.argv[2]}", f"file://{folder}/page.html"], check=True, capture_output=True)
