-- SPDX-License-Identifier: Apache-2.0
-- Sends one prepared request with seven digits in it replaced: by those of a question from a known
-- set, or of one that nobody has asked.
-- wrk ... -s repeats.lua URL -- FILE MARKER SHARE KNOWN FIRST IN_TURN

local before, after, share, known, first, in_turn
local turn = 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local whole = file:read("*a")
  file:close()
  local from, to = whole:find(args[2], 1, true)
  before, after = whole:sub(1, from - 1), whole:sub(to + 1)
  share, known, first = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  in_turn = args[6] == "yes"
  math.randomseed(first)
end

function request()
  local number
  turn = turn + 1
  if in_turn then
    number = turn % known
  elseif math.random() < share then
    number = math.random(0, known - 1)
  else
    number = first + turn
  end
  return before .. string.format("%07d", number) .. after
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\nresult {"requests": %d, "microseconds": %d, "p50": %.0f, "p99": %.0f, "max": %.0f, '
      .. '"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, e.connect, e.read, e.write, e.timeout, e.status))
end
