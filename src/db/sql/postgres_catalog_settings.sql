-- Names are qualified whatever the role's search_path is; and compiling the catalog query takes longer than running it.
SELECT set_config('search_path', 'pg_catalog', true), (SELECT set_config(name, 'off', true) FROM pg_catalog.pg_settings WHERE name = 'jit')
