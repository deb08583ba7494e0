"""R5: what a person types is found, or told apart."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable

import pytest

from agent.errors import Ambiguous, DeviceNotFound, SessionNotFound
from agent.presence.rules.registry import Registry, SessionLocation
from agent.presence.rules.selectors import OwnSession, find_own
from agent.protocol.model import DeviceId, SessionId, Status
from tests.presence.rules.registry_facts import BOX, DEN, NOW, OWN, claim, ids, link_up, paired, record, registry, row

LOCAL = SessionId("locallocallocall")
WHOLE = SessionId("abcdefghijklmnop")


@pytest.fixture
def view() -> Registry:
    """Here with one session, den linked with two, box heard only; both are paired."""
    made = registry()
    made.local_sessions([row(LOCAL, title="notes")], [], NOW)
    made.paired([paired(DEN, "Den"), paired(BOX, "Box")], NOW)
    link_up(made)
    made.link_sessions(DEN, [row(WHOLE, title="build"), row("abcxyzabcxyzabcx", title="same")], [], NOW, whole=True)
    made.heard(record(BOX, 1, claim("boxses", title="same"), claim("deploy", title="a/b")), "mdns", NOW)
    return made


@pytest.mark.parametrize("selector", [DEN, "dend-ende", "DEND-ENDE", "Den", "den", "dend", "de"])
def test_r5_a_device_by_id_short_id_name_or_unique_prefix(view: Registry, selector: str) -> None:
    assert view.find_device(selector) == DEN


def test_r13_titles_that_differ_in_joiners_alone_are_one_title(view: Registry) -> None:
    view.local_sessions([row(LOCAL, title="\U0001f469\u200d\U0001f467 notes")], [], NOW)
    for typed in ("\U0001f469\u200d\U0001f467 notes", "\U0001f469\U0001f467 Notes"):  # a terminal shows no joiner
        assert view.find_session(typed).session == LOCAL
    view.link_sessions(DEN, [row(WHOLE, title="\U0001f469\U0001f467 notes")], [], NOW, whole=True)
    with pytest.raises(Ambiguous):
        view.find_session("\U0001f469\u200d\U0001f467 notes")


def test_r5_this_device_is_found_too(view: Registry) -> None:
    assert view.find_device("here") == OWN


@pytest.mark.parametrize("selector", ["", "-", "garage", "dendx"])
def test_r5_no_such_device(view: Registry, selector: str) -> None:
    with pytest.raises(DeviceNotFound):
        view.find_device(selector)


def test_r5_several_devices_are_listed() -> None:
    view = registry()
    view.paired([paired(DEN, "den one"), paired(BOX, "den two")], NOW)
    with pytest.raises(Ambiguous, match=r"den one \(dend-ende\), den two \(boxb-oxbo\)"):
        view.find_device("den ")
    assert view.find_device("den two") == BOX


def test_r5_a_stranger_that_takes_a_trusted_name_is_not_meant(view: Registry) -> None:
    view.heard(record(DeviceId("strangerstranger"), 1, name="Den"), "mdns", NOW)
    assert view.find_device("Den") == DEN
    assert view.find_device("strangerstranger") == "strangerstranger"
    view.heard(record(DeviceId("denoneone1111111"), 1, name="Bank"), "mdns", NOW)
    assert view.find_device("bank") == "denoneone1111111"


@pytest.mark.parametrize(
    ("selector", "where"),
    [
        (LOCAL, SessionLocation(OWN, LOCAL, LOCAL, local=True)),
        ("loca", SessionLocation(OWN, LOCAL, LOCAL, local=True)),
        ("notes", SessionLocation(OWN, LOCAL, LOCAL, local=True)),
        (WHOLE, SessionLocation(DEN, WHOLE, WHOLE, local=False)),
        ("abcdef", SessionLocation(DEN, WHOLE, WHOLE, local=False)),
        ("abcd", SessionLocation(DEN, WHOLE, WHOLE, local=False)),
        ("build", SessionLocation(DEN, WHOLE, WHOLE, local=False)),
        ("Build", SessionLocation(DEN, WHOLE, WHOLE, local=False)),
        ("DEN/BUILD", SessionLocation(DEN, WHOLE, WHOLE, local=False)),
        ("boxses", SessionLocation(BOX, None, "boxses", local=False)),
        ("boxs", SessionLocation(BOX, None, "boxses", local=False)),
        ("boxsesthewholeid", SessionLocation(BOX, None, "boxsesthewholeid", local=False)),
        ("Den/same", SessionLocation(DEN, SessionId("abcxyzabcxyzabcx"), "abcxyzabcxyzabcx", local=False)),
        ("box/same", SessionLocation(BOX, None, "boxses", local=False)),
        ("dend-ende/abcd", SessionLocation(DEN, WHOLE, WHOLE, local=False)),
        ("here/notes", SessionLocation(OWN, LOCAL, LOCAL, local=True)),
        ("den/abcd", SessionLocation(DEN, WHOLE, WHOLE, local=False)),
        ("a/b", SessionLocation(BOX, None, "deploy", local=False)),
        ("Box/a/b", SessionLocation(BOX, None, "deploy", local=False)),
    ],
)
def test_r5_a_session_by_id_prefix_title_or_device(view: Registry, selector: str, where: SessionLocation) -> None:
    assert view.find_session(selector) == where


@pytest.mark.parametrize("selector", ["", "zzzz", "Builds", "Den/", "Den/nothing", "garage/build", "abcdefzz", "/"])
def test_r5_no_such_session(view: Registry, selector: str) -> None:
    with pytest.raises(SessionNotFound):
        view.find_session(selector)


def test_r5_several_sessions_are_listed(view: Registry) -> None:
    with pytest.raises(Ambiguous, match="'same': Den/same, Box/same"):
        view.find_session("same")
    view.local_sessions([row("abcdzzzzzzzzzzzz", title="other")], [], NOW)
    with pytest.raises(Ambiguous, match="'abcd': Den/build, here/other"):
        view.find_session("abcd")


def test_r5_a_beginning_that_is_too_short_is_told_apart(view: Registry) -> None:
    for find in (view.find_session, lambda selector: find_own(selector, {LOCAL: OwnSession("notes")}, "here")):
        with pytest.raises(SessionNotFound) as short:
            find("loc")
        assert short.value.hint == "give 4 characters or more of its id: see `agent sessions`"
        with pytest.raises(SessionNotFound) as none:
            find("xyz")
        assert none.value.hint == "see `agent sessions`"


def test_r5_fewer_than_four_letters_are_a_title_and_no_id(view: Registry) -> None:
    view.local_sessions([row("zzzzzzzzzzzzzzzz", title="ab")], [], NOW)
    assert view.find_session("ab").session == "zzzzzzzzzzzzzzzz"
    with pytest.raises(SessionNotFound):
        view.find_session("abc")


@pytest.mark.parametrize("forged", ["note", "notes", "notesaaaaaaaaaaa"])
def test_r13_an_id_in_the_form_of_anothers_title_takes_nothing(view: Registry, forged: str) -> None:
    forger = row(forged, title="x")
    view.paired([paired(DEN, "Den"), paired(BOX, "Box", read_only=True)], NOW)
    link_up(view, BOX, "Box")
    view.link_sessions(BOX, [forger], [], NOW, whole=True)
    if len(forged) < 16:  # no id of ours has that form
        assert view.find_session("notes").session == LOCAL
        assert forged not in ids(view)
    else:
        with pytest.raises(Ambiguous, match=r"here/notes.* Box/x"):
            view.find_session("notes")
    assert view.find_session(LOCAL).device == OWN


def test_r13_the_beginning_of_an_id_in_the_form_of_anothers_title_takes_nothing() -> None:
    view = registry()
    view.local_sessions([row(LOCAL, title="deploy")], [], NOW)
    view.paired([paired(BOX, "Box", read_only=True)], NOW)
    view.heard(record(BOX, 1, claim("deploy", title="x")), "mdns", NOW)
    with pytest.raises(Ambiguous):
        view.find_session("deploy")
    assert view.find_session("here/deploy").session == LOCAL


@pytest.mark.parametrize("title", ["abcd", "abcdef", "here/notes", "Den/build", "Box/other"])
def test_r13_a_title_in_the_form_of_anothers_selector_takes_nothing(view: Registry, title: str) -> None:
    view.heard(record(BOX, 2, claim("boxses"), more=3), "mdns", NOW)
    cat = DeviceId("catcatcatcatcata")
    view.paired([paired(DEN, "Den"), paired(BOX, "Box"), paired(cat, "Cat", read_only=True)], NOW)
    link_up(view, cat, "Cat")
    view.link_sessions(cat, [row("catcatcatcatcatc", title=title)], [], NOW, whole=True)
    with pytest.raises(Ambiguous):
        view.find_session(title)


def test_r13_a_whole_id_that_is_the_title_of_an_own_session_is_neither(view: Registry) -> None:
    view.local_sessions([row(LOCAL, title=WHOLE)], [], NOW)
    with pytest.raises(Ambiguous):
        view.find_session(WHOLE)
    assert view.find_session(LOCAL).session == LOCAL


def test_r13_of_the_own_sessions_an_id_and_a_title_that_are_alike_are_neither() -> None:
    live = {SessionId("bashaaaaaaaaaaaa"): OwnSession("x"), SessionId("zzzzzzzzzzzzzzzz"): OwnSession("bash")}
    with pytest.raises(Ambiguous):
        find_own("bash", live, "here")
    assert find_own("bashaaaaaaaaaaaa", live, "here") == "bashaaaaaaaaaaaa"


MINE = {
    SessionId("bashaaaaaaaaaaaa"): "x",
    SessionId("zzzzzzzzzzzzzzzz"): "bash",
    SessionId("zzzzyyyyyyyyyyyy"): "notes",
    SessionId("deepdeepdeepdeep"): "same",
    SessionId("dishdishdishdish"): "same",
    SessionId("longlonglonglong"): "no",
}
OWN_SESSIONS = {session: OwnSession(title) for session, title in MINE.items()}


@pytest.mark.parametrize(
    "word", ["bash", "basha", "zzzz", "zzzzy", "zzz", "notes", "same", "no", "dish", "dis", "Notes", "", *MINE]
)
def test_r5_a_word_names_the_same_session_in_every_list(word: str) -> None:
    # Here by the registry, for a client; over there among the device's own, for another device that asks.
    view = registry()
    view.local_sessions([row(session, title=title) for session, title in MINE.items()], [], NOW)

    def found(find: Callable[[], object]) -> object:
        try:
            return find()
        except (SessionNotFound, Ambiguous) as exc:
            return exc.kind if isinstance(exc, SessionNotFound) else str(exc)

    assert found(lambda: view.find_session(word).session) == found(lambda: find_own(word, OWN_SESSIONS, "here"))


def test_r5_a_closed_session_is_found_by_id_and_title_if_no_listed_one_is_meant() -> None:
    sessions = {
        **OWN_SESSIONS,
        SessionId("zzzzxxxxxxxxxxxx"): OwnSession("notes", "closed"),
        SessionId("oldsoldsoldsolds"): OwnSession("Old", "closed"),
    }
    assert find_own("zzzzy", sessions, "here") == "zzzzyyyyyyyyyyyy"
    assert find_own("zzzzx", sessions, "here") == "zzzzxxxxxxxxxxxx"
    assert find_own("olds", sessions, "here") == "oldsoldsoldsolds"
    assert find_own("old", sessions, "here") == "oldsoldsoldsolds"
    assert find_own("notes", sessions, "here") == "zzzzyyyyyyyyyyyy"


def test_r5_of_several_closed_sessions_with_one_title_the_ids_are_told() -> None:
    one, two = SessionId("onesonesonesones"), SessionId("twostwostwostwos")
    with pytest.raises(Ambiguous, match=r"onesonesonesones .*, twostwostwostwos "):
        find_own("old", {one: OwnSession("old", "closed"), two: OwnSession("Old", "closed")}, "here")


def test_r5_a_session_that_ended_by_itself_does_not_make_a_live_ones_title_ambiguous(view: Registry) -> None:
    ended = row("endsendsendsends", title="Build", status=Status.ENDED)
    view.local_sessions([ended], [], NOW)
    assert view.find_session("build").session == WHOLE
    assert view.find_session("ends").session == ended.id
    assert view.find_session("here/build").session == ended.id
    sessions = {ended.id: OwnSession("Build", "ended"), WHOLE: OwnSession("build")}
    assert find_own("build", sessions, "here") == WHOLE


def test_r5_of_two_that_ended_under_one_title_neither_is_taken(view: Registry) -> None:
    for session in ("endsendsendsends", "overoveroverover"):
        view.local_sessions([row(session, title="old", status=Status.ENDED)], [], NOW)
    with pytest.raises(Ambiguous, match=r"endsendsendsends .*, overoveroverover "):
        view.find_session("old")


def test_r5_what_an_ambiguous_selector_lists_finds_one_session_each(view: Registry) -> None:
    view.local_sessions([row("twintwintwintwin", title="my plan"), row("plannedplanneda", title="My Plan")], [], NOW)
    view.link_sessions(DEN, [row("denplandenplande", title="my plan")], [], NOW)
    with pytest.raises(Ambiguous) as caught:
        view.find_session("my plan")
    listed = str(caught.value).partition(": ")[2].split(", ")
    assert listed[0] == "'Den/my plan'"
    found = {view.find_session(shlex.split(each)[0]).session for each in listed}
    assert found == {"twintwintwintwin", "plannedplanneda", "denplandenplande"}


def test_r5_a_stranger_cannot_stand_in_the_way(view: Registry) -> None:
    forged = [claim(WHOLE[:6], title="build"), claim("boxsesthewh", title="notes")]
    view.heard(record(DeviceId("strangerstranger"), 1, *forged, name="Den"), "mdns", NOW)
    assert view.find_session("build").device == DEN
    assert view.find_session(WHOLE[:6]).device == DEN
    assert view.find_session("Den/build").device == DEN
    assert view.find_session("notes").device == OWN
    assert view.find_session("boxsesthewholeid").device == BOX


def test_r5_what_did_not_fit_a_record_is_asked_of_its_device() -> None:
    view = registry()
    view.paired([paired(BOX, "Box")], NOW)
    view.heard(record(BOX, 1, claim("boxses"), more=3), "mdns", NOW)
    assert view.find_session("Box/other") == SessionLocation(BOX, None, "other", local=False)
    with pytest.raises(SessionNotFound):
        view.find_session("other")


def test_r5_finding_does_not_slow_down_with_the_number_of_devices() -> None:
    def cost(devices: int) -> float:
        view = registry()
        view.paired([paired(DeviceId(f"device{n:010}")) for n in range(devices)], NOW)
        for n in range(devices):
            claims = (claim(f"{(n * 20 + each) * 7919 % 10**7:07}s") for each in range(20))
            view.heard(record(DeviceId(f"device{n:010}"), 1, *claims), "mdns", NOW)
        view.local_sessions([row(LOCAL)], [], NOW)
        rounds = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(200):
                view.find_session(LOCAL)
                view.find_session("local")
            rounds.append(time.perf_counter() - start)
        return min(rounds)

    assert cost(500) < 10 * cost(5)  # linear would be 100 times
