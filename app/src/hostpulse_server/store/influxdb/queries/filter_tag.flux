    |> filter(fn: (r) => r["$name"] == tag_$name)
