"""The pages: sign in, one's own account, the users. Plain forms without a script; whatever they do is done by `gate`.

Not here: how a page is answered (page.py), and the JSON API of the template (program.py).
"""

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, Response
from limited import Limited
from page import HERE, RETURN_TO, as_refusal, form, led_away, page, templates, to, without_secrets
from roles import ADMIN, ROLES, highest, role_of

from passgate import Passgate, User, errors

SIZE, LAST = 20, 500
SORTS = ("username", "-username", "email", "-email")


def router(gate: Passgate) -> APIRouter:
    pages = APIRouter(route_class=Limited, include_in_schema=False)

    @pages.get("/style.css", dependencies=[Depends(gate.public)])
    async def style() -> Response:
        return FileResponse(HERE / "static" / "style.css", media_type="text/css")

    @pages.get("/", dependencies=[Depends(gate.public)])
    async def home() -> Response:
        return to("/account")

    templates.env.globals.update(role=role_of, roles=list(ROLES))
    _signing_in(pages, gate)
    _account(pages, gate)
    _users(pages, gate)
    _one_user(pages, gate)
    return pages


async def refused(gate: Passgate, request: Request, wrong: Exception) -> Response:
    """Instead of a page: the way to sign in, or why not, with the navigation for whoever is signed in."""
    if away := led_away(request, wrong):
        return away
    user = None
    with suppress(errors.PassgateError):
        user = (await gate.at(request).session.show()).user
    return page(request, "refused", refused=as_refusal(wrong), user=user)


def _signing_in(pages: APIRouter, gate: Passgate) -> None:
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
            return page(request, "login", refused=refused, typed=without_secrets(typed))
        done = to(typed["to"] if typed.get("to") in RETURN_TO else "/account")
        carried.set_on(done)
        return done

    @pages.post("/logout", dependencies=[Depends(gate.user)])
    async def sign_out(request: Request) -> Response:
        done = to("/login", why="out")
        (await gate.at(request).session.end()).set_on(done)
        return done


def _account(pages: APIRouter, gate: Passgate) -> None:
    somebody, fresh = Depends(gate.user), Depends(gate.fresh(minutes=5))

    @pages.get("/account")
    async def account(request: Request, user: Annotated[User, somebody]) -> Response:
        session = (await gate.at(request).session.show()).session
        return page(request, "account", user=user, session=session, done=request.query_params.get("done"))

    @pages.get("/password")
    async def new_password(request: Request, user: Annotated[User, fresh]) -> Response:
        return page(request, "password", user=user)

    @pages.post("/password")
    async def change_password(request: Request, user: Annotated[User, fresh]) -> Response:
        try:
            await gate.at(request).me.password(password=(await form(request)).get("password", ""))
        except errors.Invalid as refused:
            return page(request, "password", refused=refused, user=user)
        return to("/account", done="password")


def _users(pages: APIRouter, gate: Passgate) -> None:
    reader, admin = Depends(gate.may("people:read")), Depends(gate.may("people:write"))

    @pages.get("/users")
    async def users(request: Request, user: Annotated[User, reader]) -> Response:
        query = request.query_params
        asked = query.get("page", "")
        number = int(asked) if len(asked) <= 3 and asked.isdecimal() and 0 < int(asked) <= LAST else 1
        sort = query["sort"] if query.get("sort") in SORTS else SORTS[0]
        which: dict[str, Any] = {"role_at_most": highest(user.roles), "sort": sort, "page": number, "size": SIZE}
        found = await gate.at(None, tenant="main").users.list(**which)
        last = min(max(1, -(-(found.total or 0) // SIZE)), LAST)
        if number > last:
            return to("/users", page=str(last), sort=sort)
        here: dict[str, Any] = {"number": number, "last": last, "sort": sort, "done": query.get("done")}
        return page(request, "users", user=user, found=found, **here)

    @pages.get("/users/new")
    async def new_user(request: Request, user: Annotated[User, admin]) -> Response:
        return page(request, "user_new", user=user)

    @pages.post("/users/new")
    async def create_user(request: Request, user: Annotated[User, admin]) -> Response:
        typed = await form(request)
        given: dict[str, Any] = {name: typed.get(name, "") for name in ("email", "username", "password")}
        try:
            await gate.at(request).users.create(**given, roles=[ROLES["user"]])
        except (errors.Invalid, errors.Conflict) as refused:
            return page(request, "user_new", refused=refused, user=user, typed=without_secrets(typed))
        return to("/users", done="created")


def _one_user(pages: APIRouter, gate: Passgate) -> None:
    admin = Depends(gate.may("people:write"))

    async def one_of(request: Request, id: str) -> Any:
        try:
            return await gate.at(request).users.show(id)
        except errors.Invalid:  # no id at all
            raise errors.NotFound from None

    @pages.get("/users/{id}")
    async def one_user(request: Request, id: str, user: Annotated[User, admin]) -> Response:
        return page(request, "user", user=user, one=await one_of(request, id))

    @pages.post("/users/{id}", dependencies=[admin])
    async def change_role(request: Request, id: str) -> Response:
        given = (await form(request)).get("role", "")
        if given not in ROLES:
            raise errors.NotFound
        await gate.at(request).users.change(id, roles=[ROLES[given]])
        return to("/users", done="changed")

    @pages.get("/users/{id}/delete")
    async def confirm_delete(request: Request, id: str, user: Annotated[User, admin]) -> Response:
        return page(request, "user_delete", user=user, one=await one_of(request, id))

    @pages.post("/users/{id}/delete", dependencies=[admin])
    async def delete_user(request: Request, id: str) -> Response:
        if ADMIN in (await one_of(request, id)).roles:  # nobody deletes an equal
            await gate.at(request).users.change(id, roles=[ROLES["read_only"]])
        await gate.at(request).users.delete(id)
        return to("/users", done="deleted")
