# SPDX-License-Identifier: Apache-2.0
"""The commands that put load on a server: bench, and the agent that generates it elsewhere."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from gateway.admin.ask import refused


class Protocol(Enum):
    """What is spoken to the server."""

    V2_JSON = "v2-json"
    V2_BINARY = "v2-binary"
    V1 = "v1"
    GRPC = "grpc"


class Schedule(Enum):
    """When an open loop sends."""

    POISSON = "poisson"
    CONSTANT = "constant"
    RAMP = "ramp"
    BURST = "burst"
    TRACE = "trace"


class Scenario(Enum):
    """What is done to a server besides."""

    OVERLOAD = "overload"
    BURST = "burst"


ReportFile = Annotated[
    str | None, typer.Option("--report", metavar="FILE.html", help="Write a page with charts.")
]
CsvFile = Annotated[
    str | None, typer.Option("--csv", metavar="FILE", help="Write a row for each run.")
]
HgrmFile = Annotated[
    str | None, typer.Option("--hgrm", metavar="FILE", help="Write HdrHistogram's text.")
]
MarkdownFile = Annotated[
    str | None, typer.Option("--markdown", metavar="FILE", help="Write a table.")
]
SecretFile = Annotated[
    str | None,
    typer.Option(
        "--secret-file",
        metavar="FILE",
        help="Secret of the agents; else in INFERGATE_BENCH_SECRET.",
    ),
]


def bench(
    url: Annotated[
        str, typer.Argument(help="Of any v2 or v1 server: http://HOST:PORT, or grpc://HOST:PORT.")
    ],
    *,
    model: Annotated[str, typer.Option("-m", "--model", help="Which of its models.")],
    version: Annotated[str, typer.Option("--model-version", help="Which version of it.")] = "",
    protocol: Annotated[
        Protocol | None, typer.Option(help="What is spoken; v2-json, or grpc by the URL.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Open loop: so many requests a second.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Closed loop: so many requests in flight.")
    ] = None,
    schedule: Annotated[
        Schedule | None, typer.Option(help="When an open loop sends; poisson.")
    ] = None,
    duration: Annotated[str, typer.Option(metavar="TIME", help="How long is measured.")] = "30s",
    warmup: Annotated[
        str, typer.Option(metavar="TIME|auto", help="Before that; auto: until it is steady.")
    ] = "2s",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help=".npz, .csv, JSON bodies, a directory of pictures; else made up."
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:3x224x224", help="Of an input that is made up, for one row."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Rows in a request.")] = 1,
    repeat: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE", help="Inputs that were sent before, like 20%; others differ."
        ),
    ] = None,
    repeated_inputs: Annotated[
        int, typer.Option(min=1, help="How many different inputs are repeated.")
    ] = 64,
    connections: Annotated[
        int, typer.Option(min=0, help="At a time; 0: as --concurrency, or 256 in an open loop.")
    ] = 0,
    new_connections: Annotated[
        bool, typer.Option("--new-connections", help="A connection for each request.")
    ] = False,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", metavar="'NAME: VALUE'", help="On each request; ${VAR} is kept secret."
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="From when a request is due.")
    ] = "10s",
    ramp_from: Annotated[
        float, typer.Option(min=0, help="First rate of a ramp; 0: a tenth of --rate.")
    ] = 0.0,
    burst_factor: Annotated[
        float, typer.Option(min=1, help="So many times the rate in a burst.")
    ] = 3.0,
    burst_length: Annotated[
        str, typer.Option(metavar="TIME", help="Of a burst, in the middle.")
    ] = "10s",
    trace: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Instants of a trace, in seconds, one a line."),
    ] = None,
    processes: Annotated[
        str, typer.Option(metavar="N|auto", help="That generate load; auto: as many as it takes.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of schedule and inputs.")] = 1,
    salt: Annotated[
        int, typer.Option(min=0, help="Where numbering of inputs begins; 0: anywhere.")
    ] = 0,
    agents: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT,…", help="Generate the load there, not here."),
    ] = None,
    secret_file: SecretFile = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Take any certificate of an https server.")
    ] = False,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    slo: Annotated[
        str | None,
        typer.Option(
            metavar="p99=20ms,errors=0.1%",
            help="Hold the run to it; without --rate, search the highest rate that keeps it.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="At which an SLO is proven.")] = 0.99,
    longest_probe: Annotated[
        str, typer.Option(metavar="TIME", help="Of one rate in the search, at the most.")
    ] = "40s",
    resolution: Annotated[
        str, typer.Option(metavar="SHARE", help="Of the rate, to which the search goes.")
    ] = "2%",
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=1,2,4", help="One run for each rate, concurrency, batch or payload."
        ),
    ] = None,
    scenario: Annotated[
        Scenario | None, typer.Option(help="1.5 times --rate, or a burst and its recovery.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="URL", help="Compare with this one, round by round.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=3, help="Of a comparison.")] = 5,
    runs: Annotated[int, typer.Option(min=1, help="How often the run is made.")] = 1,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Exit with 1 where it is worse than that result."),
    ] = None,
    tolerance: Annotated[
        str, typer.Option(metavar="SHARE", help="By which it may be worse.")
    ] = "10%",
    json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the result there.")
    ] = None,
    files: ReportFile = None,
    csv: CsvFile = None,
    hgrm: HgrmFile = None,
    markdown: MarkdownFile = None,
    name: Annotated[str, typer.Option(help="Keep the result under this name.")] = "",
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep it for bench history.")
    ] = True,
) -> None:
    """Put load on a model and say how it answers, timed from when requests were due.

    Exit code 1 where the run measured the generator instead of the server, or an answer is no:
    the SLO is not kept, or the baseline was better. `infergate bench history` has past results.
    """
    from gateway.lab import LabError
    from gateway.lab.load import options
    from gateway.lab.load.command import check_extra
    from gateway.lab.load.run import Plan

    by_url = Protocol.GRPC if url.startswith("grpc") else Protocol.V2_JSON
    try:
        seeks = slo is not None and rate is None and concurrency is None and trace is None
        # A search draws its arrivals by Poisson, at rates of its own.
        chosen = options.schedule_of(
            schedule and schedule.value, 1.0 if seeks else rate, concurrency, trace
        )
        options.check_level(level)
        plan = Plan(
            url=url, model=model, version=version, protocol=(protocol or by_url).value,
            schedule=chosen, rate=1.0 if seeks else rate or 0.0, concurrency=concurrency or 1,
            duration=options.duration("--duration", duration),
            warmup=None if warmup == "auto" else options.duration("--warmup", warmup),
            connections=connections, new_connections=new_connections,
            repeat=None if repeat is None else options.share("--repeat", repeat),
            repeated_inputs=repeated_inputs, batch=batch,
            timeout=options.duration("--timeout", timeout),
            seed=seed, salt=salt, processes=options.processes(processes),
            headers=tuple(options.header(each) for each in header or ()),
            ramp_from=ramp_from, burst_factor=burst_factor,
            burst_seconds=options.duration("--burst-length", burst_length),
            trace=trace or "", verify=not insecure,
            shapes=tuple(options.shape(each) for each in shape or ()),
        )  # fmt: skip
        plan.check()
        elsewhere = options.addresses("--agents", agents)
        secret = options.secret(secret_file)
        longest = options.duration("--longest-probe", longest_probe)
        step, most = (
            options.share("--resolution", resolution),
            options.share("--tolerance", tolerance),
        )
        check_extra(plan)
        from gateway.lab.bench import command
        from gateway.lab.bench.outputs import Outputs
        from gateway.lab.bench.questions import Questions, Sweep
        from gateway.lab.search.slo import Slo

        asked = Questions(
            slo=None if slo is None else Slo.parse(slo), seeks_limit=seeks, confidence=confidence,
            longest_probe=longest, resolution=step,
            sweep=None if sweep is None else Sweep.parse(sweep),
            scenario=None if scenario is None else scenario.value,
            against=against or "", rounds=rounds, baseline=baseline or "", tolerance=most,
            repeats=runs, level=level,
        )  # fmt: skip
        outputs = Outputs(
            json=json, report=files, csv=csv, hgrm=hgrm, markdown=markdown, name=name, keep=keep
        )
    except LabError as error:
        raise refused(str(error)) from None
    raise typer.Exit(
        command.run(plan, data, questions=asked, outputs=outputs, agents=elsewhere, secret=secret)
    )


def bench_agent(
    *,
    listen: Annotated[
        str, typer.Option(metavar="tcp:HOST:PORT", help="Where coordinators come.")
    ] = "tcp:127.0.0.1:8010",
    secret_file: SecretFile = None,
    processes: Annotated[int, typer.Option(min=0, help="At a time; 0: two for each core.")] = 0,
) -> None:
    """Generate load for `infergate bench --agents` on another host, until SIGTERM or Ctrl-C.

    Beyond loopback it needs a secret: whoever knows it can have this host send requests anywhere.
    """
    from gateway.lab import LabError
    from gateway.lab.load import options
    from gateway.lab.load.agent import run

    try:
        secret = options.secret(secret_file)
    except LabError as error:
        raise refused(str(error)) from None
    raise typer.Exit(run(listen, secret=secret, processes=processes))
