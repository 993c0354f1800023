// Every raw value of one server in some measurements and fields: a table a series, ascending in
// time. Of a measurement it may return fields that are wanted of another one only. The filters stay
// next to range, so that the storage engine does all of it.
//
// params: bucket, servers, measurements and fields (regular expressions), start, stop

import "regexp"

serverPattern = regexp.compile(v: servers)
measurementPattern = regexp.compile(v: measurements)
fieldPattern = regexp.compile(v: fields)

from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement =~ measurementPattern)
    |> filter(fn: (r) => r.server_id =~ serverPattern)
    |> filter(fn: (r) => r._field =~ fieldPattern)
    |> drop(columns: ["_start", "_stop"])
