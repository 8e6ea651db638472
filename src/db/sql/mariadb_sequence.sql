SELECT CAST(CONCAT_WS(' ', 'from', minimum_value, 'to', maximum_value, 'start', start_value, 'increment', increment, 'cache', cache_size,
                      IF(cycle_option, 'cycle', NULL)) AS CHAR) FROM {sequence}
