import jinja2
from flask import redirect, render_template_string, request, url_for
from markupsafe import Markup

_PAGE = "<p>{{ name }}</p>"


def note(name, body):
    # ruleid: markup-of-a-variable
    shown = Markup(body)
    # ok: markup-of-a-variable
    shown += Markup("<wbr>")
    # ruleid: markup-of-a-variable, markup-put-together
    shown += Markup(f"<b>{name}</b>")
    # ruleid: markup-of-a-variable, markup-put-together
    shown += Markup("<b>" + name)
    # ok: markup-put-together
    return shown + Markup("<b>{}</b>").format(name)


# ruleid: escaping-turned-off
bare = jinja2.Environment(loader=None, autoescape=False)
# ok: escaping-turned-off
guarded = jinja2.Environment(loader=None, autoescape=jinja2.select_autoescape())


def pages(text):
    # ruleid: template-from-a-variable
    first = render_template_string(text, name="x")
    # ok: template-from-a-variable
    return first + render_template_string(_PAGE, name="x")


def onwards():
    # ruleid: redirect-to-what-the-request-says
    return redirect(request.args.get("next", "/"))


def home():
    # ok: redirect-to-what-the-request-says
    return redirect(url_for("pages.home", lane=request.args.get("lane")))


def download():
    name = request.args["name"]
    # ruleid: request-data-names-a-file-or-server
    return open("exports/" + name).read()


def fixed():
    # ok: request-data-names-a-file-or-server
    return open("exports/all.csv").read()


def remember(answer, value, https):
    # ruleid: cookie-without-guards
    answer.set_cookie("seen", value)
    # ok: cookie-without-guards
    answer.set_cookie("seen", value, httponly=True, secure=https, samesite="Lax")
