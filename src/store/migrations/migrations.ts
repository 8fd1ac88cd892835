import type { Migration } from 'kysely/migration'
import { initial } from './001-initial.ts'
import { agentsAtWork } from './002-agents-at-work.ts'
import { warnings } from './003-warnings.ts'
import { callDeadlines } from './004-call-deadlines.ts'
import { ledgerWithoutHash } from './005-ledger-without-hash.ts'
import type { MigrationEngine } from './migration-engine.ts'
import type { migrationNames } from './migration-names.ts'

type MigrationName = (typeof migrationNames)[number]

/** The migrations of an engine by name. Loads Kysely: import it only where a schema has to change. */
export function createMigrations(engine: MigrationEngine): Record<MigrationName, Migration> {
  return {
    '001-initial': initial(engine),
    '002-agents-at-work': agentsAtWork(engine),
    '003-warnings': warnings(),
    '004-call-deadlines': callDeadlines(),
    '005-ledger-without-hash': ledgerWithoutHash(),
  }
}
