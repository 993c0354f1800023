// What a rollup keeps of every series of some servers, for each window of `every` that has values:
// one result an aggregate. Each reads for itself: a source that several share is not pushed down.
//
// params: bucket, servers (a regular expression), start, stop, every

import "regexp"

pattern = regexp.compile(v: servers)
aggregated = (fn) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r.server_id =~ pattern)
        |> aggregateWindow(every: every, fn: fn, createEmpty: false, timeSrc: "_start")
        |> drop(columns: ["_start", "_stop"])

aggregated(fn: sum) |> yield(name: "sum")
aggregated(fn: count) |> yield(name: "count")
aggregated(fn: min) |> yield(name: "min")
aggregated(fn: max) |> yield(name: "max")
aggregated(fn: last) |> yield(name: "last")
