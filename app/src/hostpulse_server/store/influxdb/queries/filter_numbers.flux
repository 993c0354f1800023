    |> filter(fn: (r) => types.isNumeric(v: r._value))
