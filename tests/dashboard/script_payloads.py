"""Owns texts that would run as scripts, or fetch something, if a page let them be anything but text.

Each sets window.wicked, opens a dialog or asks the canary's host; none is meant to do harm anywhere.
"""

from __future__ import annotations

CANARY = "canary.invalid"
RUN = "window.wicked=1"

PAYLOADS = (
    f"<script>{RUN}</script>",
    f"<SCRIPT SRC=//{CANARY}/a.js></SCRIPT>",
    f"</script><script>{RUN}</script>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<img src=x onerror={RUN}>",
    f'<img src="//{CANARY}/i.png">',
    f"<image/src=x/onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<math><mi//xlink:href=\"javascript:{RUN}\">",
    f"<body onload={RUN}>",
    f"<iframe src=\"javascript:parent.{RUN}\"></iframe>",
    f"<iframe srcdoc=\"<script>parent.{RUN}</script>\"></iframe>",
    f"<object data=\"javascript:{RUN}\"></object>",
    f"<embed src=//{CANARY}/e.swf>",
    f"<link rel=stylesheet href=//{CANARY}/s.css>",
    f"<style>@import '//{CANARY}/t.css';</style>",
    f"<meta http-equiv=refresh content=\"0;url=//{CANARY}/\">",
    f"<base href=//{CANARY}/>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}><option>",
    f"<details open ontoggle={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<marquee onstart={RUN}>",
    f"<form action=//{CANARY}/><button>go</button></form>",
    f"<a href=\"javascript:{RUN}\">a</a>",
    f"\" autofocus onfocus=\"{RUN}",
    f"' onmouseover='{RUN}' x='",
    f"\"><script>{RUN}</script>",
    f"'-({RUN})-'",
    f"\\\";{RUN}//",
    f"</textarea><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</select></form><img src=x onerror={RUN}>",
    f"--><img src=x onerror={RUN}><!--",
    f"]]><script>{RUN}</script>",
    "{{ 7 * 191 }}{% raw %}${7*191}",
    "<template><script>alert(1)</script></template>",
    f"<noscript><p title=\"</noscript><img src=x onerror={RUN}>\"></noscript>",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;img src=x onerror={RUN}&#62;",
    f"<button popovertarget=p onclick={RUN}>b</button><div popover id=p onbeforetoggle={RUN}>",
)  # fmt: skip

ADDRESSES = (
    f"javascript:{RUN}",
    f"JaVaScRiPt:{RUN}",
    f" javascript:{RUN}",
    f"java\tscript:{RUN}",
    f"data:text/html,<script>opener.{RUN}</script>",
    f"vbscript:{RUN}",
    f"//{CANARY}/x",
    f"http://{CANARY}/x",
    "https:javascript:alert(1)",
    f'https://" onmouseover="{RUN}',
    f"blob:https://{CANARY}/1",
)
