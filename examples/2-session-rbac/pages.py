"""The pages: sign in, one's own account, the users. Plain forms without a script; whatever they do is done by `gate`.

Not here: the JSON API of the template (main.py).
"""

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates
from passgate import Passgate, User, errors

HERE = Path(__file__).parent
LARGEST_FORM = 16_384
SIZE = 20
SORTS = ("username", "-username", "email", "-email")
RETURN_TO = ("/account", "/password", "/users")
SECRETS = ("password",)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
REASONS = {
    "missing": "Fill this in.",
    "format": "Check the spelling: this can't be right.",
    "length": "That's too short or too long.",
    "reserved": "Choose another one: this one is reserved.",
}
templates = Jinja2Templates(HERE / "templates")
"""Escapes whatever it shows."""


# -- every page ------------------------------------------------------------------------------------


def page(
    request: Request, name: str, status: int = 200, refused: errors.PassgateError | None = None, **shown: Any
) -> Response:
    """A template, and above its form what was refused, with the status and the header fields of the refusal."""
    fields = {field: REASONS.get(why, "Check this.") for field, why in getattr(refused, "fields", {}).items()}
    if isinstance(refused, errors.PasswordRefused):
        fields = {"password": ""}  # above the form already
    values = {"user": None, "typed": {}, **shown, "refused": refused, "fields": fields}
    more = {k: v for k, v in refused.headers().items() if k == "Retry-After"} if refused else {}
    code = refused.status if refused and status == 200 else status
    return templates.TemplateResponse(request, f"{name}.html", values, code, headers={**HEADERS, **more})


def wait(seconds: int) -> str:
    """How long, as people say it."""
    number, unit = (seconds, "second") if seconds < 100 else (-(-seconds // 60), "minute")
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def to(path: str, **query: str) -> Response:
    """On to another page, by GET."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303, headers=HEADERS)


def led_away(request: Request, refused: errors.PassgateError) -> Response:
    """What was refused before a page could be shown: sign in, confirm, or a page that says what to do."""
    back = {"to": request.url.path} if request.url.path in RETURN_TO else {}
    match refused:
        case errors.ClientChanged():
            return page(request, "refused", 403, refused)
        case errors.StepUpNeeded():
            return to("/login", why="confirm", **back)
        case errors.CredentialMissing():
            return to("/login", **back)
        case errors.CredentialInvalid() | errors.SessionEnded():
            return to("/login", why="ended", **back)
    return page(request, "refused", refused=refused)


class Page(APIRoute):
    """A route whose refusals are pages, those of its guards too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await handle(request)
            except errors.PassgateError as refused:
                return led_away(request, refused)

        return shown


async def form(request: Request) -> dict[str, str]:
    """What was typed. Raises TooLarge and Malformed."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_FORM:
            raise errors.TooLarge
    try:
        return {name: text.strip() if name not in SECRETS else text for name, text in parse_qsl(body.decode())}
    except ValueError:
        raise errors.Malformed from None


def kept(typed: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in typed.items() if name not in SECRETS}


# -- the pages -------------------------------------------------------------------------------------


def router(gate: Passgate, roles: Mapping[str, str]) -> APIRouter:
    """`roles`: the name of each role as people read it, and its name in the tenant; the least first."""
    pages = APIRouter(route_class=Page, include_in_schema=False)
    Reader = Annotated[User, Depends(gate.may("people:read"))]
    Admin = Annotated[User, Depends(gate.may("users:write"))]

    def role(of: tuple[str, ...]) -> str:
        return next((shown for shown, own in reversed(roles.items()) if own in of), next(iter(roles)))

    templates.env.globals.update(role=role, roles=list(roles), wait=wait)

    @pages.get("/style.css", dependencies=[Depends(gate.public)])
    async def style() -> Response:
        return FileResponse(HERE / "static" / "style.css", media_type="text/css")

    # -- signing in and out

    @pages.get("/", dependencies=[Depends(gate.public)])
    async def home() -> Response:
        return to("/account")

    @pages.get("/login", dependencies=[Depends(gate.public)])
    async def login(request: Request) -> Response:
        query = dict(request.query_params)
        try:
            user = await gate.user(request)
        except errors.PassgateError:
            return page(request, "login", typed=query)
        if query.get("why") != "confirm":
            return to("/account")
        return page(request, "login", typed={**query, "username": user.username or ""})

    @pages.post("/login", dependencies=[Depends(gate.public)])
    async def sign_in(request: Request) -> Response:
        typed, at = await form(request), gate.at(request)
        try:
            begun = await at.signin.start(username=typed.get("username", ""))
            await at.signin.prove(begun.handle, factor="password", answer=typed.get("password", ""))
            carried = await at.signin.finish(begun.handle, carrier="cookie")
        except errors.PassgateError as refused:
            return page(request, "login", refused=refused, typed=kept(typed))
        done = to(typed["to"] if typed.get("to") in RETURN_TO else "/account")
        carried.set_on(done)
        return done

    @pages.post("/logout", dependencies=[Depends(gate.user)])
    async def sign_out(request: Request) -> Response:
        done = to("/login", why="out")
        (await gate.at(request).session.end()).set_on(done)
        return done

    # -- one's own account

    @pages.get("/account")
    async def account(request: Request, user: Annotated[User, Depends(gate.user)]) -> Response:
        session = (await gate.at(request).session.show()).session
        return page(request, "account", user=user, session=session, done=request.query_params.get("done"))

    @pages.get("/password")
    async def new_password(request: Request, user: Annotated[User, Depends(gate.fresh(minutes=5))]) -> Response:
        return page(request, "password", user=user)

    @pages.post("/password")
    async def change_password(request: Request, user: Annotated[User, Depends(gate.fresh(minutes=5))]) -> Response:
        try:
            await gate.at(request).me.password(password=(await form(request)).get("password", ""))
        except errors.Invalid as refused:
            return page(request, "password", refused=refused, user=user)
        return to("/account", done="password")

    # -- the users

    @pages.get("/users")
    async def users(request: Request, user: Reader) -> Response:
        query = request.query_params
        number = int(query["page"]) if query.get("page", "").isdecimal() and 0 < int(query["page"]) <= 500 else 1
        sort = query["sort"] if query.get("sort") in SORTS else SORTS[0]
        at_most = roles[role(user.roles)]
        found = await gate.at(None, tenant="main").users.list(role_at_most=at_most, sort=sort, page=number, size=SIZE)
        last = max(1, -(-(found.total or 0) // SIZE))
        if number > last:
            return to("/users", page=str(last), sort=sort)
        shown = {"number": number, "last": last, "sort": sort, "done": query.get("done")}
        return page(request, "users", user=user, found=found, **shown)

    @pages.get("/users/new")
    async def new_user(request: Request, user: Admin) -> Response:
        return page(request, "user_new", user=user)

    @pages.post("/users/new")
    async def create_user(request: Request, user: Admin) -> Response:
        typed = await form(request)
        given = {name: typed.get(name, "") for name in ("email", "username", "password")}
        try:
            await gate.at(request).users.create(**given, roles=[roles["user"]])
        except (errors.Invalid, errors.Conflict) as refused:
            return page(request, "user_new", refused=refused, user=user, typed=kept(typed))
        return to("/users", done="created")

    async def one_of(request: Request, id: str) -> Any:
        try:
            return await gate.at(request).users.show(id)
        except errors.Invalid:  # no id at all
            raise errors.NotFound from None

    @pages.get("/users/{id}")
    async def one_user(request: Request, id: str, user: Admin) -> Response:
        return page(request, "user", user=user, one=await one_of(request, id))

    @pages.post("/users/{id}")
    async def change_role(request: Request, id: str, user: Admin) -> Response:
        given = (await form(request)).get("role", "")
        if given not in roles:
            raise errors.NotFound
        await gate.at(request).users.change(id, roles=[roles[given]])
        return to("/users", done="changed")

    @pages.get("/users/{id}/delete")
    async def confirm_delete(request: Request, id: str, user: Admin) -> Response:
        return page(request, "user_delete", user=user, one=await one_of(request, id))

    @pages.post("/users/{id}/delete")
    async def delete_user(request: Request, id: str, user: Admin) -> Response:
        await gate.at(request).users.delete(id)
        return to("/users", done="deleted")

    return pages
