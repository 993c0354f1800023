// Every value of some servers, for rollups: a table a series, ascending in time. Nothing is
// aggregated here: a text that somebody wrote under a name of ours would make all of it fail.
//
// params: bucket, servers (a regular expression), start, stop, and a measurement for
// filter_measurement.flux, which is pasted in where it is wanted

import "regexp"

pattern = regexp.compile(v: servers)

from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r.server_id =~ pattern)
$filters
    |> drop(columns: ["_start", "_stop"])
