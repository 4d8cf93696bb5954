"""The report of a real run, and the card of its model, in a real browser."""

import json
from pathlib import Path

SECTIONS = ["headline", "graph", "timings", "data", "training", "evaluation", "deployment", "steps", "run"]


def test_every_section_is_filled_and_nothing_is_asked_of_the_network(taxi, browser):
    page = taxi.folder / "report.html"
    asked, said = [], []
    tab = browser.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(page.as_uri())
    tab.wait_for_function("[...document.querySelectorAll('iframe')].every(frame => frame.style.height)")

    assert asked[0] == page.as_uri()
    assert not [url for url in asked[1:] if not url.startswith("blob:")]
    assert not said
    texts = {name: tab.inner_text(f"#{name}") for name in SECTIONS}
    assert "Deployed version 1" in texts["headline"]
    assert f"{taxi['evaluate'].output_artifacts['metrics'].metadata['AUC']:.4g}" in texts["headline"]
    assert {"extract", "data-validation", "transform", "train", "evaluate", "deploy"} <= set(texts["graph"].split())
    assert texts["timings"].count(" s") >= 7
    assert taxi.output("reason") in texts["headline"] + texts["evaluation"]
    assert taxi.output("pushed_uri") in texts["deployment"]
    assert taxi.run.versions["kfp"] in texts["run"]
    assert taxi.run.id in tab.inner_text("header")

    frames = [frame.inner_text("body") for frame in tab.frames[1:]]
    assert any("payment_type" in text and "Missing" in text for text in frames)
    assert any("loss" in text.lower() and "Epoch" in text for text in frames)
    assert any("ROC" in text and "trip_start_day" in text for text in frames)
    drawn = tab.evaluate(
        "[...document.querySelectorAll('iframe')].map(frame => frame.contentDocument.querySelectorAll('svg').length)"
    )
    assert all(count > 0 for count in drawn)
    tab.close()


def test_the_model_card_opens_offline_in_light_and_dark(taxi, browser):
    pushed = Path(taxi.output("pushed_uri"))
    card = json.loads((pushed / "assets.extra/model_card.json").read_text(encoding="utf-8"))
    lineage = card["model_details"]["lineage"]
    assert lineage["run_id"] == taxi.run.id
    assert {"extract", "train", "evaluate", "deploy"} <= set(lineage["images"])
    metrics = taxi["evaluate"].output_artifacts["metrics"].metadata
    overall = {each["type"]: each["value"] for each in card["quantitative_analysis"]["performance_metrics"][::-1]}
    assert overall["AUC"] == metrics["AUC"]
    important = card["quantitative_analysis"]["permutation_importance"]["columns"]
    assert important[0]["column"] == "payment_type"  # cash has no tips

    page = pushed / "assets.extra/model_card.html"
    backgrounds = []
    for scheme in ("light", "dark"):
        context = browser.new_context(offline=True, color_scheme=scheme, java_script_enabled=False)
        tab = context.new_page()
        asked, said = [], []
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.on("console", lambda message, said=said: said.append(message.text))
        tab.goto(page.as_uri())
        text = tab.inner_text("main")
        for words in ("Model card of", "Limitations", "payment_type=Cash", "trip_miles", lineage["model_digest"]):
            assert words in text
        assert asked == [page.as_uri()] and not said
        backgrounds.append(tab.locator("body").evaluate("body => getComputedStyle(body).backgroundColor"))
        context.close()
    assert backgrounds[0] == "rgb(255, 255, 255)" != backgrounds[1]
    assert "Model card of" in (taxi.folder / "report.html").read_text(encoding="utf-8")
