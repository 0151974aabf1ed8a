# SPDX-License-Identifier: Apache-2.0
"""Reports: what load tests and searches found, for people and for programs.

A `document` holds all of it and is what is kept; `terminal`, `export` and `page` show it, `store`
keeps those of the past.
"""
