
-- The end of both scripts prints one line, which wrk.go reads. Times are in microseconds.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\nreport %d %d %d %d %d %d %d %d\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.timeout, e.read, e.write))
end
