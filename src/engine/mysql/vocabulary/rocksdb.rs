//! What Percona's client writes for RocksDB. Some of it runs what a variable holds, so each of these lines counts only right
//! behind the one before it: nobody else has set the variable in between.

/// The lines, whole, in the groups in which they are written.
pub(super) const ROCKSDB: [&[&str]; 6] = [
    &[
        "/*!50717 SELECT COUNT(*) INTO @rocksdb_has_p_s_session_variables FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = 'session_variables' */",
        r"/*!50717 SET @rocksdb_get_is_supported = IF (@rocksdb_has_p_s_session_variables, 'SELECT COUNT(*) INTO @rocksdb_is_supported FROM performance_schema.session_variables WHERE VARIABLE_NAME=\'rocksdb_bulk_load\'', 'SELECT 0') */",
        "/*!50717 PREPARE s FROM @rocksdb_get_is_supported */",
        "/*!50717 EXECUTE s */",
        "/*!50717 DEALLOCATE PREPARE s */",
    ],
    &[
        "/*!50717 SELECT COUNT(*) INTO @rocksdb_has_p_s_session_variables FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = 'session_variables' */",
        "/*!50717 SET @rocksdb_get_is_supported = IF (@rocksdb_has_p_s_session_variables, 'SELECT COUNT(*) INTO @rocksdb_is_supported FROM performance_schema.session_variables WHERE VARIABLE_NAME=?', 'SELECT 0') */",
        "/*!50717 PREPARE s FROM @rocksdb_get_is_supported */",
        "/*!50717 EXECUTE s USING @rocksdb_bulk_load_var_name */",
        "/*!50717 DEALLOCATE PREPARE s */",
    ],
    &[
        "/*!50717 SET @rocksdb_enable_bulk_load = IF (@rocksdb_is_supported, 'SET SESSION rocksdb_bulk_load = 1', 'SET @rocksdb_dummy_bulk_load = 0') */",
        "/*!50717 PREPARE s FROM @rocksdb_enable_bulk_load */",
        "/*!50717 EXECUTE s */",
        "/*!50717 DEALLOCATE PREPARE s */",
    ],
    &[
        "/*!50112 SELECT COUNT(*) INTO @is_rocksdb_supported FROM INFORMATION_SCHEMA.SESSION_VARIABLES WHERE VARIABLE_NAME='rocksdb_bulk_load' */",
        "/*!50112 SET @save_old_rocksdb_bulk_load = IF (@is_rocksdb_supported, 'SET @old_rocksdb_bulk_load = @@rocksdb_bulk_load', 'SET @dummy_old_rocksdb_bulk_load = 0') */",
        "/*!50112 PREPARE s FROM @save_old_rocksdb_bulk_load */",
        "/*!50112 EXECUTE s */",
    ],
    &[
        "/*!50112 SET @enable_bulk_load = IF (@is_rocksdb_supported, 'SET SESSION rocksdb_bulk_load = 1', 'SET @dummy_rocksdb_bulk_load = 0') */",
        "/*!50112 PREPARE s FROM @enable_bulk_load */",
        "/*!50112 EXECUTE s */",
        "/*!50112 DEALLOCATE PREPARE s */",
    ],
    &[
        "/*!50112 SET @disable_bulk_load = IF (@is_rocksdb_supported, 'SET SESSION rocksdb_bulk_load = @old_rocksdb_bulk_load', 'SET @dummy_rocksdb_bulk_load = 0') */",
        "/*!50112 PREPARE s FROM @disable_bulk_load */",
        "/*!50112 EXECUTE s */",
        "/*!50112 DEALLOCATE PREPARE s */",
    ],
];

/// The place in [`ROCKSDB`] of the statement that was seen last.
#[derive(Debug, Default, Clone)]
pub struct Before(Vec<(usize, usize)>);

impl Before {
    /// Whether `sql` is the first of these lines, or stands right behind the one before it.
    pub fn steps(&mut self, sql: &str) -> bool {
        let last = std::mem::take(&mut self.0);
        let places = ROCKSDB.iter().enumerate().flat_map(|(group, lines)| (0..lines.len()).map(move |at| (group, at)));
        let is_next = |(group, at): &(usize, usize)| *at == 0 || last.contains(&(*group, at - 1));
        self.0 = places.filter(|(group, at)| ROCKSDB[*group][*at] == sql.trim()).filter(is_next).collect();
        !self.0.is_empty()
    }
}
