// The names of the measurements of a time, one a row in `_value`, from the engine's index: no value
// is read. Of all servers, as the index finds nothing of what lacks a tag.
//
// params: bucket, start, stop

from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> keep(columns: ["_measurement"])
    |> group()
    |> distinct(column: "_measurement")
