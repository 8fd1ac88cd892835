import { join } from 'node:path'
import { loadSettings } from '../config.ts'
import { migrate, migrationStatus } from '../store/sqlite/migrate.ts'
import { UsageError } from './usage-error.ts'

/** `parley migrate up|down|status`, on the embedded database of `DATA_DIR`. */
export async function migrateCommand(args: readonly string[]): Promise<number> {
  const [action, ...rest] = args
  if (rest.length > 0) throw new UsageError('migrate takes one of up, down, status')
  const path = join(loadSettings().dataDir, 'parley.db')
  switch (action) {
    case 'up':
    case 'down': {
      const changed = await migrate(path, action)
      const verb = action === 'up' ? 'applied' : 'taken back'
      console.log(
        changed.length === 0 ? 'nothing to do' : changed.map((name) => `${verb}  ${name}`).join('\n'),
      )
      return 0
    }
    case 'status':
      for (const { name, applied } of migrationStatus(path))
        console.log(`${applied ? 'applied' : 'pending'}  ${name}`)
      return 0
    default:
      throw new UsageError('migrate takes one of up, down, status')
  }
}
