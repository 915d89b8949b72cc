"""What is read from the reports topic: sums, percentages, percentiles, and how they are shown."""

import csv
import io
from datetime import date, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from cli.main import app
from cli.reports import print_csv, print_tables, warning
from deploy.errors import LiveDeskError
from desk.figures import Figures, Filter, Times, as_data, in_percent, summed
from schemas.events.reports import ReportKind, ReportUpdated, bucket_of, value_of

MONDAY, TUESDAY = date(2026, 3, 9), date(2026, 3, 10)
Partials = list[tuple[str, ReportUpdated]]


def partial(
    kind: ReportKind, counts: dict[str, int], *, channel: str = "shop", day: date = MONDAY, agent: str | None = None
) -> ReportUpdated:
    return ReportUpdated(kind=kind, channel=channel, day=day, agent=agent, counts=counts)


def seconds(bucket: int) -> int:
    return round(value_of(bucket).total_seconds())


@pytest.fixture
def partials() -> Partials:
    return [
        ("a", partial("satisfaction", {"sent": 1}, agent="nadia")),
        ("a", partial("satisfaction", {"sent": 4, "rating_5": 1, "rating_3": 2}, agent="nadia")),
        ("b", partial("satisfaction", {"rating_4": 1, "rating_3": -1}, agent="nadia")),
        ("c", partial("satisfaction", {"sent": 2, "rating_1": 1}, day=TUESDAY)),
        ("d", partial("satisfaction", {"sent": 1}, channel="kiosk", day=TUESDAY, agent="olaf")),
        ("e", partial("conversations", {"opened": 3})),
        ("f", partial("conversations", {"resolved": 2}, agent="nadia")),
        ("g", partial("resolution_open", {"0": 1, "60": 8}, agent="nadia")),
        ("h", partial("resolution_closed", {"90": 1}, agent="nadia")),
        ("i", partial("messages", {"read": 5, "sent_failed": 1})),
    ]


# --- sums ----------------------------------------------------------------------------------------------------------


def test_of_one_key_the_last_partial_counts_and_keys_add_up(partials: Partials) -> None:
    figures = summed(partials)
    assert list(figures) == ["kiosk", "shop"]
    shop = figures["shop"]
    assert (shop.surveys_sent, shop.answers, shop.satisfied) == (6, 4, 2)
    assert shop.ratings == {1: 1, 2: 0, 3: 1, 4: 1, 5: 1}
    assert (shop.satisfaction_pct, shop.response_rate_pct) == (50.0, 66.67)


def test_satisfaction_is_none_where_nobody_answered(partials: Partials) -> None:
    kiosk = summed(partials)["kiosk"]
    assert (kiosk.surveys_sent, kiosk.satisfaction_pct, kiosk.response_rate_pct) == (1, None, 0)
    assert (Figures({}).satisfaction_pct, Figures({}).response_rate_pct) == (None, 0)
    assert as_data(kiosk)["satisfaction"]["satisfaction_pct"] is None
    assert in_percent(kiosk.satisfaction_pct) == "–"
    unhappy = Figures({"satisfaction": {"sent": 1, "rating_1": 1}})
    assert in_percent(unhappy.satisfaction_pct) == "0%"


def test_numerator_and_denominator_are_filtered_alike(partials: Partials) -> None:
    mine = summed(partials, only=Filter(agent="nadia"))["shop"]
    assert (mine.surveys_sent, mine.answers, mine.response_rate_pct) == (4, 3, 75.0)
    nobody = summed(partials, only=Filter(agent="-"))["shop"]
    assert (nobody.surveys_sent, nobody.answers, nobody.outcome("opened")) == (2, 1, 3)
    late = summed(partials, only=Filter(first=TUESDAY))
    assert {group: figures.surveys_sent for group, figures in late.items()} == {"kiosk": 1, "shop": 2}
    early = summed(partials, only=Filter(channel="shop", last=MONDAY))
    assert {group: figures.surveys_sent for group, figures in early.items()} == {"shop": 4}
    assert summed(partials, only=Filter(channel="nowhere")) == {}


def test_figures_are_grouped_by_agent_and_by_day(partials: Partials) -> None:
    by_agent, by_day = summed(partials, "agent"), summed(partials, "day")
    assert {group: figures.surveys_sent for group, figures in by_agent.items()} == {"-": 2, "nadia": 4, "olaf": 1}
    assert {group: figures.surveys_sent for group, figures in by_day.items()} == {"2026-03-09": 4, "2026-03-10": 3}


def test_what_ai_agents_did_is_grouped_and_filtered_apart_from_people_of_the_same_id() -> None:
    partials = [
        ("a", partial("ai", {"held": 3, "resolved": 1, "handed_over:anger": 1, "answers": 7}, agent="nadia")),
        ("b", partial("ai_calls", {"model_calls": 9, "cost_micros": 1_234_567}, agent="nadia")),
        ("c", partial("ai_satisfaction", {"sent": 2, "rating_5": 1}, agent="nadia")),
        ("d", partial("ai_first_response", {"0": 1}, agent="nadia")),
        ("e", partial("conversations", {"resolved": 2}, agent="nadia")),
    ]
    assert not summed(partials, "agent")["nadia"].has_ai
    assert not summed(partials, "ai-agent")["nadia"].has_more
    for figures in (summed(partials)["shop"], summed(partials, only=Filter(ai_agent="nadia"))["shop"]):
        assert [figures.ai(measure) for measure in ("held", "resolved", "handed_over", "answers")] == [3, 1, 1, 7]
        assert (figures.handed_over, figures.resolved_by_ai_alone_pct) == ({"anger": 1}, 33.33)
        assert figures.calls("cost_micros") == 1_234_567
    assert summed(partials, only=Filter(agent="nadia"))["shop"].counts == {"conversations": {"resolved": 2}}
    data = as_data(summed(partials, "ai-agent")["nadia"])["ai"]
    assert {name: data[name] for name in ("handed_over_for", "cost_micros", "tool_calls")} == {
        "handed_over_for": {"anger": 1},
        "cost_micros": 1_234_567,
        "tool_calls": 0,
    }
    text = shown(summed(partials, "ai-agent"), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert {"33.33%", "1.234567", "anger"} <= set(text.split())
    assert "Messages" not in text


# --- times ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 30 * 86_400), min_size=1, max_size=50), st.integers(1, 100))
def test_a_percentile_of_summed_buckets_is_within_5_percent(durations: list[int], percent: int) -> None:
    halves = [Times({}), Times({})]
    for index, duration in enumerate(durations):
        halves[index % 2] += Times({bucket_of(timedelta(seconds=duration)): 1})
    exact = sorted(durations)[-(-len(durations) * percent // 100) - 1]
    found = (halves[0] + halves[1]).percentile(percent)
    assert found is not None
    assert abs(found / timedelta(seconds=exact) - 1) <= 0.05


def test_of_no_times_there_is_no_percentile() -> None:
    assert Times({}).percentile(50) is None


# --- shown ---------------------------------------------------------------------------------------------------------


def test_as_data_has_every_figure(partials: Partials) -> None:
    data = orjson.loads(orjson.dumps(as_data(summed(partials)["shop"])))
    assert data["conversations"] == {
        "opened": 3,
        "resolved": 2,
        "resolved_by_ai": 0,
        "resolved_automatically": 0,
        "reopened": 0,
        "closed": 0,
    }
    assert data["first_response"]["all"] == {"count": 0, "median_s": None, "p90_s": None}
    assert data["resolution"] == {
        "all": {"count": 10, "median_s": seconds(60), "p90_s": seconds(60)},
        "open": {"count": 9, "median_s": seconds(60), "p90_s": seconds(60)},
        "closed": {"count": 1, "median_s": seconds(90), "p90_s": seconds(90)},
    }
    assert data["satisfaction"]["ratings"] == {"1": 1, "2": 0, "3": 1, "4": 1, "5": 1}
    assert data["messages"] == {"read": 5, "sent_failed": 1}


def test_csv_has_a_line_a_group_with_the_same_columns(partials: Partials, capsys: pytest.CaptureFixture[str]) -> None:
    print_csv("channel", summed(partials))
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["channel"] for line in lines] == ["kiosk", "shop"]
    assert [line["satisfaction.satisfaction_pct"] for line in lines] == ["", "50.0"]
    assert [line["messages.read"] for line in lines] == ["0", "5"]
    assert lines[0]["resolution.all.median_s"] == ""


def shown(groups: dict[str, Figures], width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_tables(console, "channel", groups)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables_show_what_there_is(partials: Partials) -> None:
    text = shown(summed(partials))
    assert [title for title in ("Conversations", "Times", "Satisfaction", "Messages") if title in text] == [
        "Conversations",
        "Times",
        "Satisfaction",
        "Messages",
    ]
    assert "66.67%" in text
    assert "5.1 m" in text  # 60 buckets up from a second
    assert "first response" not in text


@pytest.mark.parametrize("group", ["customer-service-spain", "c" * 64])
def test_at_80_columns_nothing_is_cut_off(group: str) -> None:
    counts = {"opened": 12345, "resolved": 11000, "resolved_automatically": 55, "reopened": 3, "closed": 10009}
    ratings = {f"rating_{rating}": 100 + rating for rating in (1, 2, 3, 4, 5)}
    times: dict[str, int] = {"40": 3, "190": 2}
    statuses = ("accepted", "delivered", "delivered_failed", "read", "sent", "sent_failed", "unknown")
    figures = Figures(
        {
            "conversations": counts,
            "satisfaction": {"sent": 1000, **ratings},
            "first_response_open": times,
            "messages": dict.fromkeys(statuses, 777),
        }
    )
    text = shown({group: figures}, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert {*map(str, counts.values()), *map(str, ratings.values()), "40.58%", "777"} <= set(text.split())
    assert text.split().count("777") == len(statuses)
    assert "…" not in text
    assert (group in text) == (len(group) < 30)


@pytest.mark.parametrize(("number", "words"), [(1, "1 record is not in"), (5, "5 records are not in")])
def test_dead_letters_are_said_beside_the_figures(number: int, words: str) -> None:
    assert words in warning(number)
    assert warning(number).endswith("livedesk dead-letters list")


def test_reports_say_so_where_there_is_nothing() -> None:
    assert "Nothing was counted" in shown({})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--json", "--csv"], "--json and --csv exclude each other."),
        (["--from", "2026-03-10", "--to", "2026-03-09"], "--from 2026-03-10 is after --to 2026-03-09."),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], why: str) -> None:
    outcome = CliRunner().invoke(app, ["reports", "show", *arguments])
    assert isinstance(outcome.exception, LiveDeskError)
    assert outcome.exception.message == why


def test_a_day_is_a_date() -> None:
    assert CliRunner().invoke(app, ["reports", "show", "--from", "yesterday"]).exit_code == 2
