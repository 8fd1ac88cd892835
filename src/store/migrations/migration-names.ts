/**
 * Every migration, oldest first. Apart from the migrations themselves, so that a store can tell whether its schema is up
 * to date without loading the library that would change it.
 */
export const migrationNames = [
  '001-initial',
  '002-agents-at-work',
  '003-warnings',
  '004-call-deadlines',
  '005-ledger-without-hash',
] as const

/** Where applied migrations are noted: columns `name` and `timestamp`. */
export const migrationTable = 'schema_migration'
export const migrationLockTable = 'schema_migration_lock'
