SET SESSION lock_wait_timeout = {seconds};
/*!50708 SET SESSION max_execution_time = {milliseconds} */ /*M!100101 SET SESSION max_statement_time = {seconds} */;
START TRANSACTION READ ONLY
