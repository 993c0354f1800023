"""Templates of operators end, whatever they say."""

from __future__ import annotations

import time

import pytest

from hostpulse_server.rules.model import Rule
from hostpulse_server.rules.summary import fault_of_summary, render_summary
from hostpulse_server.sandbox import Sandbox, TemplateLimitError, TemplateLimits

LIMITS = TemplateLimits(seconds=0.5, steps=1_000, size=10_000)
DOUBLED = "{% set a = 'aaaaaaaaaa' %}"
HUNGRY = {
    "times": "{{ 'a' * 10**9 }}",
    "times a list": "{{ [1] * 10**9 }}",
    "times the other way": "{{ 10**9 * 'a' }}",
    "powers": "{{ 9**(9**9) }}",
    "powers of powers": "{{ ((9**64)**64)**64 }}",
    "width": "{{ '%0999999999d' % 1 }}",
    "format": "{{ '%0999999999d'|format(1) }}",
    "format's method": "{{ '{:>999999999}'.format(1) }}",
    "justified": "{{ 'a'.ljust(10**9) }}",
    "centred": "{{ 'a'|center(10**9) }}",
    "a range": "{% for a in range(10**9) %}{% endfor %}",
    "a range as a list": "{{ range(10**9)|list|length }}",
    "a sum": "{{ range(10**9)|sum }}",
    "loops in loops": "".join(f"{{% for a{n} in '{'a' * 50}' %}}" for n in range(6))
    + "{% endfor %}" * 6,
    "a recursive loop": "{% for a in [[1]] recursive %}{{ loop(a) }}{% endfor %}",
    "doubled": DOUBLED + "{% set a = a ~ a %}" * 30 + "{{ a|length }}",
    "doubled by plus": DOUBLED + "{% set a = a + a %}" * 30 + "{{ a|length }}",
    "doubled lists": "{% set a = [1] %}" + "{% set a = a + a %}" * 30 + "{{ a|length }}",
    "doubled blocks": DOUBLED + "{% set a %}{{ a }}{{ a }}{% endset %}" * 30 + "{{ a|length }}",
    "quoted again and again": "{{ '\"'" + "|tojson" * 40 + "|length }}",
    "replaced": "{{ 'aaaaaaaaaa'" + "|replace('a', 'aaaaaaaaaa')" * 9 + "|length }}",
    "joined": "{{ 'aaaaaaaaaa'" + "|join('aaaaaaaaaa')" * 9 + "|length }}",
    "batches": "{{ [1]|batch(10**9, 1)|list|length }}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    "{{ m(40) }}",
    "output": "{% for a in range(900) %}" + "a" * 100 + "{% endfor %}",
}


@pytest.mark.parametrize("text", HUNGRY.values(), ids=HUNGRY)
def test_what_would_take_for_ever_ends_with_a_reason(text: str) -> None:
    """While it is compiled, too: Jinja computes what is constant then."""
    sandbox = Sandbox(LIMITS)
    began = time.thread_time()
    with pytest.raises(Exception, match=r".") as caught:
        sandbox.fill(sandbox.from_string(text), {})
    assert not isinstance(caught.value, MemoryError | RecursionError)
    assert time.thread_time() - began < 2 * LIMITS.seconds


def test_what_people_write_is_filled_in() -> None:
    """Loops, conditions, filters, macros and what they make."""
    sandbox = Sandbox(LIMITS)
    text = (
        "{% macro m(a) %}<{{ a|upper }}>{% endmacro %}"
        "{% set b %}{{ m('x') }}{% endset %}{% set c %}  y  {% endset %}"
        "{% for one in items if one.n > 1 %}{{ loop.index }}/{{ loop.length }} "
        "{{ one.n * 2 ~ '%' }}"
        "{% else %}none{% endfor %} {{ b }} {{ c|trim }} {{ items|map(attribute='n')|join(', ') }}"
        " {{ '%.1f'|format(2.25) }} {{ 'a-b'|replace('-', '+') }} {{ (1 + 2) ** 2 }}"
    )
    found = sandbox.fill(sandbox.from_string(text), {"items": [{"n": 1}, {"n": 2}, {"n": 3}]})
    assert found == "1/2 4%2/2 6% <X> y 1, 2, 3 2.2 a+b 9"


@pytest.mark.parametrize("text", ["{{ 'a' * 10**9 }}", HUNGRY["loops in loops"]])
def test_a_summary_that_would_hang_is_a_fault_and_holds_up_no_alert(text: str) -> None:
    """``rules check`` says so; the engine says it plainly."""
    rule = Rule("cpu_usage", "threshold", text, "", "cpu", "usage_percent")
    assert fault_of_summary(rule).startswith("cannot be filled in: ")
    shown = render_summary(rule, value=81.0, threshold=80.0, severity="warning", server_id="web-01")
    assert shown == "cpu_usage on web-01: cpu usage_percent is 81 (threshold 80)"


def test_a_limit_is_one_of_each_filling_in() -> None:
    """What one template spent is not missing to the next."""
    sandbox = Sandbox(LIMITS)
    template = sandbox.from_string("{% for a in range(400) %}{% endfor %}ok")
    assert [sandbox.fill(template, {}) for _ in range(3)] == ["ok"] * 3
    with pytest.raises(TemplateLimitError):
        sandbox.fill(sandbox.from_string("{% for a in range(600) %}{% endfor %}"), {})
