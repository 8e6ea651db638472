SELECT CAST(@@global.read_only AS CHAR) NOT IN ('0', 'OFF')
