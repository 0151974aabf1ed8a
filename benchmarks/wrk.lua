-- SPDX-License-Identifier: Apache-2.0
-- Sends prepared requests in turn and prints what happened as one line of JSON.
-- wrk ... -s wrk.lua URL -- DIRECTORY COUNT: whole requests, bytes as sent, in DIRECTORY/0 ...

local requests = {}
local last = 0

function init(args)
  for i = 0, tonumber(args[2]) - 1 do
    local file = assert(io.open(args[1] .. "/" .. i, "rb"))
    requests[#requests + 1] = file:read("*a")
    file:close()
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\nresult {"requests": %d, "microseconds": %d, "p50": %.0f, "p99": %.0f, "max": %.0f, '
      .. '"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, e.connect, e.read, e.write, e.timeout, e.status))
end
