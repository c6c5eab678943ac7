"""Tiny scenarios: few enough operations to try every order in which their steps can happen.

The first seventeen are those of the model in which the line's three rules were found, by the names they have there; the
others are what the simulator has found since.
"""

from __future__ import annotations

from headgate.verify.mixes import (
    MIA,
    NOA,
    ONE,
    PIA,
    RX,
    TWO,
    UM,
    A,
    B,
    Mix,
    X,
    Y,
    cancel,
    cap,
    limit,
    mode,
    pause,
    resume,
    submit,
    together,
)

SCENARIOS: dict[str, Mix] = {
    "park-release": Mix(
        tenants={A: 2}, limits={A: {RX: 1}}, kinds={ONE: 2}, system=2,
        first=(submit(A, 1, ONE, MIA, X),), ops=(submit(A, 2, ONE, NOA, X),),
    ),
    "park-release-2lanes": Mix(
        tenants={A: 3}, limits={A: {RX: 1, UM: 1}}, kinds={ONE: 3}, system=3,
        first=(submit(A, 1, ONE, MIA, X),), ops=(submit(A, 2, ONE, MIA, Y), submit(A, 3, ONE, NOA, X)),
    ),
    "kinds-on-one-repo": Mix(
        tenants={A: 3, B: 9}, limits={A: {RX: 1}}, kinds={ONE: 1, TWO: 1}, system=3,
        first=(submit(A, 1, TWO, MIA, X), submit(B, 2, ONE)),
        ops=(submit(A, 3, ONE, NOA, X), submit(A, 4, TWO, PIA, X)),
    ),
    "clear-enqueue": Mix(
        tenants={A: 1}, kinds={ONE: 1}, system=1, first=(submit(A, 1),), ops=(submit(A, 2), submit(A, 3)),
    ),
    "offered-finish": Mix(
        tenants={A: 1, B: 1}, kinds={ONE: 2}, system=2, first=(submit(A, 1),), ops=(submit(A, 2), submit(B, 3)),
    ),
    "pause-promote-claim": Mix(
        tenants={A: 1}, kinds={ONE: 1}, system=1, first=(submit(A, 1),), ops=(submit(A, 2), pause(A)),
    ),
    "pause-resume": Mix(tenants={A: 1}, kinds={ONE: 1}, system=1, ops=(submit(A, 1), pause(A), resume(A))),
    "pause-repo": Mix(
        tenants={A: 2}, kinds={ONE: 2}, system=2, ops=(submit(A, 1, repo=X), pause(A, RX), submit(A, 2, repo=X)),
    ),
    "pause-frees-other": Mix(
        tenants={A: 1, B: 1}, kinds={ONE: 1}, system=1, ops=(submit(A, 1), submit(B, 2), pause(A)),
    ),
    "mode-flip": Mix(
        tenants={A: 2}, kinds={ONE: 2}, system=2, ops=(submit(A, 1), mode("maintenance"), mode("normal")),
    ),
    "settle": Mix(
        tenants={A: 3}, kinds={ONE: 3}, system=2, first=(submit(A, 1), submit(A, 2)),
        ops=(submit(A, 3), cap("system", 1)),
    ),
    "settle-idle": Mix(tenants={A: 3}, kinds={ONE: 3}, system=2, ops=(cap("system", 1), submit(A, 1))),
    "flip-grow": Mix(
        tenants={A: 3}, kinds={ONE: 3}, system=1, ops=(cap("system", 2), mode("maintenance"), submit(A, 1)),
    ),
    "two-dispatchers": Mix(
        tenants={A: 1, B: 1}, kinds={ONE: 1}, system=2, first=(submit(A, 1),), ops=(submit(B, 2), submit(A, 3)),
    ),
    "cancel-head": Mix(
        tenants={A: 1}, kinds={ONE: 1}, system=1, first=(submit(A, 1),),
        ops=(submit(A, 2), submit(A, 3), cancel(3)),
    ),
    "setcap-park": Mix(
        tenants={A: 2}, limits={A: {RX: 1}}, kinds={ONE: 2}, system=2, first=(submit(A, 1, repo=X),),
        ops=(submit(A, 2, repo=X), limit(A, RX, 2)),
    ),
    "fold": Mix(
        tenants={A: 2}, limits={A: {RX: 1}}, kinds={ONE: 2}, system=2, first=(submit(A, 1, repo=X),),
        ops=(together(submit(A, 2, repo=X), submit(A, 3, repo=X)), together(submit(A, 4), submit(A, 5, repo=X))),
    ),
    "fold-caps": Mix(
        tenants={A: 2}, kinds={ONE: 2}, system=2, ops=(together(*(cap("system", n) for n in (1, 2, 1))), submit(A, 1)),
    ),
    "cancel-alone": Mix(
        tenants={A: 1}, kinds={ONE: 1}, system=1, first=(submit(A, 1), submit(A, 2)), ops=(cancel(2), submit(A, 3)),
    ),
    "newcomer-parks": Mix(
        tenants={A: 3}, limits={A: {RX: 1}}, kinds={ONE: 3}, system=3,
        first=(submit(A, 1, ONE, NOA, X), limit(A, "tenant", 1), pause(A, UM), submit(A, 2, ONE, MIA, X),
               submit(A, 3, ONE, MIA, Y), resume(A, UM)),
        ops=(submit(A, 4, ONE, MIA, X),),
    ),
}  # fmt: skip
"""Name → scenario; `first` has happened when its operations begin, each in a process of its own."""
