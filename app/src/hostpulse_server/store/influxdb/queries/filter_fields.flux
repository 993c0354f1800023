    |> filter(fn: (r) => r._field =~ fieldPattern)
