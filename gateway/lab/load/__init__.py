# SPDX-License-Identifier: Apache-2.0
"""The load generator: a plan of requests in, a run of measured answers out.

``await measure(plan, data)`` carries out a `Plan` and gives a `Run`; *data* is the path of a file
or directory with inputs, or None for made-up ones. The generator proper works in processes of its
own, here or on other hosts, so that nothing that draws or computes delays a request.
"""
