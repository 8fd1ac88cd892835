import { join } from 'node:path'
import { loadSettings } from '../config.ts'
import { makeDataFolder } from '../store/sqlite/data-folder.ts'
import { migrate, migrationStatus } from '../store/sqlite/migrate.ts'
import { UsageError } from './usage-error.ts'

/** `parley migrate up|down|status`, on the embedded database of `DATA_DIR`. */
export async function migrateCommand({
  args,
  yes,
}: {
  args: readonly string[]
  yes: boolean
}): Promise<number> {
  const [action, ...rest] = args
  if (rest.length > 0) throw new UsageError('migrate takes one of up, down, status')
  const { dataDir } = loadSettings()
  const path = join(dataDir, 'parley.db')
  if (action === 'down' && !yes) {
    throw new UsageError(
      `migrate down deletes what the last step made, and the data in it, from ${path}; say --yes`,
    )
  }
  if (action === 'up') makeDataFolder(dataDir)
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
