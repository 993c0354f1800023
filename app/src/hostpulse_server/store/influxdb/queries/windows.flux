// Values of one measurement, aggregated over windows of `every` that are stamped at their start:
// a table a series, empty windows absent. range, filter and aggregateWindow stay next to each
// other in this order, so that the storage engine does all of it (except with filter_numbers.flux,
// which is wanted only where a text is in the way).
//
// params: bucket, measurement, servers and fields (regular expressions), start, stop, every, and a
// tag_NAME for each filter_tag.flux
// pasted in: the name of an aggregate, and those of filter_*.flux that are wanted

import "regexp"
import "types"

serverPattern = regexp.compile(v: servers)
fieldPattern = regexp.compile(v: fields)

from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == measurement)
$filters
    |> aggregateWindow(every: every, fn: $aggregate, createEmpty: false, timeSrc: "_start")
    |> drop(columns: ["_start", "_stop"])
