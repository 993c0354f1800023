    |> filter(fn: (r) => r.server_id =~ serverPattern)
