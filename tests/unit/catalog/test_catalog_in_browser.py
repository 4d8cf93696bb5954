"""The catalog in a real browser: searching by keyboard, no request, no script but its own, and nobody kept out."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from support import catalog_examples, component_stores

from pipeyard.catalog import catalog_folder, catalog_pages, catalog_stores, stored_components

PAGES = ("index.html", "connections.html", "components/ours/train.html", "components/others/wicked.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    component_stores.write(root / "ours", catalog_examples.ours())
    component_stores.write(root / "theirs", catalog_examples.theirs())
    stores = catalog_stores.of([str(root / "ours"), f"others={root / 'theirs'}"])
    catalog_folder.write(root / "site", catalog_pages.render(stored_components.read(stores)))
    return root / "site"


def found(tab):
    return tab.eval_on_selector_all("#found a", "all => all.map(each => each.textContent)")


def test_components_are_found_by_keyboard_and_nothing_is_asked_of_the_network(site, browser):
    asked, said = [], []
    tab = browser.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto((site / "index.html").as_uri())
    everything = ["count_words", "io/keep", "read", "read", "train", "train", "wicked"]
    assert found(tab) == everything and tab.inner_text("#count") == "All 7"
    tab.keyboard.press("/")
    tab.keyboard.type("t")  # names that begin with it, names that have it, then what else has it
    assert found(tab) == ["train", "train", "count_words", "io/keep", "read", "read", "wicked"]
    tab.keyboard.type("rain-fits")
    assert found(tab) == ["train", "train"]
    tab.keyboard.press("Escape")
    assert found(tab) == everything
    tab.keyboard.press("Tab")
    tab.keyboard.type("Examples")
    assert found(tab) == ["train", "train", "io/keep"]
    assert tab.inner_text("#count") == "3 of 7"
    assert tab.eval_on_selector_all("#found li", "all => all.map(each => each.innerText.includes('may fit'))") == [
        False,
        False,
        True,
    ]
    tab.keyboard.press("Tab")
    tab.keyboard.type("model")
    assert found(tab) == ["train", "train"]
    tab.select_option("#store", "ours")
    assert found(tab) == ["train"] and tab.url.endswith("#takes=Examples&gives=model&store=ours")
    tab.focus("#words")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/components/ours/train.html")
    tab.click("tbody a >> text=Examples")  # an input: what gives it?
    tab.wait_for_url("**/index.html#gives=Examples")
    assert found(tab) == ["read", "read"]
    tab.close()
    assert said == []
    assert {url.partition("#")[0] for url in asked} == {
        (site / path).as_uri() for path in ("index.html", "components/ours/train.html")
    }


def test_what_stores_say_is_shown_and_never_run(site, browser):
    tab = browser.new_page()
    said = []
    tab.on("console", lambda message: said.append(message.text))
    for page in PAGES:
        tab.goto((site / page).as_uri())
        assert tab.evaluate("window.evil") is None, page
        assert tab.evaluate("document.images.length") == 0
        assert tab.is_visible("h1")
    assert tab.inner_text(".lead") == catalog_examples.EVIL
    tab.close()
    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site, browser, scheme):
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # axe is a script that isn't the page's
    tab = context.new_page()
    for page in PAGES:
        tab.goto((site / page).as_uri())
        violations = Axe().run(tab).response["violations"]
        serious = [
            (each["id"], node["html"])
            for each in violations
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]
        assert serious == [], page
    context.close()


def test_pages_fit_a_narrow_screen_and_paper_has_no_form(site, browser):
    tab = browser.new_page(viewport={"width": 360, "height": 800})
    for page in PAGES:
        tab.goto((site / page).as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, page
    tab.goto((site / "index.html").as_uri())
    tab.emulate_media(media="print")
    assert not tab.is_visible("#search") and tab.is_visible("#found")
    tab.close()
