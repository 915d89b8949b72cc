"""When it is said that dead letters come in."""

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams.runtime.dead_letters import SAY_AGAIN_S, DeadLetterNews, dead_letters_by_stage
from streams.runtime.metrics import Metrics


def test_the_first_is_said_at_once_and_later_ones_once_a_minute() -> None:
    news, said = DeadLetterNews(), []
    for second in range(150):
        news.count("worker-1", {"intake": 1 + 10 * second})
        if line := news.line(second):
            said.append((second, line))
    assert said == [
        (0, "1 dead letter (intake 1): livedesk dead-letters list"),
        (60, "600 more dead letters (intake 600): livedesk dead-letters list"),
        (120, "600 more dead letters (intake 600): livedesk dead-letters list"),
    ]


def test_no_dead_letters_give_no_line() -> None:
    news = DeadLetterNews()
    news.count("worker-1", {"intake": 0})
    assert news.line(0, last=True) is None


def test_several_processes_and_stages_are_one_line() -> None:
    news = DeadLetterNews()
    news.count("worker-1", {"status": 2, "intake": 1})
    news.count("worker-2", {"intake": 4, "hours": 0})
    assert news.line(5) == "7 dead letters (intake 5, status 2): livedesk dead-letters list"


def test_a_process_that_started_again_is_counted_from_its_start() -> None:
    news = DeadLetterNews()
    news.count("worker-1", {"intake": 5})
    news.line(0)
    news.count("worker-1", {"intake": 2})
    assert news.line(SAY_AGAIN_S) == "2 more dead letters (intake 2): livedesk dead-letters list"


def test_the_last_look_waits_for_no_minute() -> None:
    news = DeadLetterNews()
    news.count("", {"intake": 1})
    news.line(0)
    news.count("", {"intake": 3})
    assert news.line(1) is None
    assert news.line(1, last=True) == "2 more dead letters (intake 2): livedesk dead-letters list"


def test_dead_letters_are_counted_from_the_metrics_and_from_their_page() -> None:
    metrics = Metrics()
    metrics.records.labels("intake").inc(9)
    for reason in ("failed", "parked"):
        metrics.dead_letters.labels("intake", reason).inc(2)
    page = generate_latest(metrics.registry).decode()
    assert dead_letters_by_stage(metrics.dead_letters.collect()) == {"intake": 4}
    assert dead_letters_by_stage(text_string_to_metric_families(page)) == {"intake": 4}
