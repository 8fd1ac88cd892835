import { parseArgs } from 'node:util'
import type { SettingRow } from '../config.ts'
import { AppError } from '../errors.ts'
import { version } from '../version.ts'
import { UsageError } from './usage-error.ts'

const usage = `parley ${version}

  parley serve [module]          serve the agents of a module, or the built-in assistant
  parley dev [module]            the same, again after each change of a file
  parley migrate up|status       bring the database up to date, or show its version
  parley migrate down --yes      take back the last step, with the data in it
  parley --help | --version

A module exports by default { agents: [...] } or one agent. Settings: docs/settings.md`

/** Runs a command and returns the exit code: 0 well, 1 failed, 2 not understood. A server keeps the process alive. */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
        yes: { type: 'boolean' },
        // Of the process that `dev` starts.
        watched: { type: 'boolean' },
      },
    })
    const [command, ...rest] = positionals
    if (values.version) return print(version)
    if (values.help || command === undefined) return print(usage)
    return await runCommand(command, {
      args: rest,
      yes: values.yes === true,
      watched: values.watched === true,
    })
  } catch (error) {
    return complain(await explainOption(error, argv))
  }
}

async function runCommand(
  command: string,
  given: { args: string[]; yes: boolean; watched: boolean },
): Promise<number> {
  switch (command) {
    case 'dev': {
      const { devCommand } = await import('./dev.ts')
      return devCommand(given.args)
    }
    case 'serve': {
      const { endWithLauncher, isRunByNpm } = await import('./launcher.ts')
      if (given.watched || isRunByNpm()) endWithLauncher()
      if (given.watched) await tellWatcher()
      const { serveCommand } = await import('./serve.ts')
      return serveCommand(given.args)
    }
    case 'migrate': {
      const { migrateCommand } = await import('./migrate.ts')
      return migrateCommand(given)
    }
    default:
      throw new UsageError(`unknown command ${JSON.stringify(command)}\n\n${usage}`)
  }
}

/** Before anything else is loaded: of what was loaded before, nothing would be told. */
async function tellWatcher(): Promise<void> {
  const { tellLoadedFiles } = await import('./loaded-files.ts')
  tellLoadedFiles((file) => void process.send?.(file))
}

function print(text: string): number {
  console.log(text)
  return 0
}

/** An option that is none may be a setting: then it is said how to set that. Other errors as they are. */
async function explainOption(error: unknown, argv: readonly string[]): Promise<unknown> {
  if (!(error instanceof Error)) return error
  const [, option] = /^Unknown option '(-[^']*)'/.exec(error.message) ?? []
  if (option === undefined) return error
  const { settingsTable } = await import('../config.ts')
  const name = option.slice(2).replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
  const [, row] = Object.entries<SettingRow>(settingsTable).find(([key]) => key === name) ?? []
  if (!row) return new UsageError(`unknown option ${option}\n\n${usage}`)
  const [variable] = row.names
  const given = row.secret ? undefined : valueOf(argv, option)
  return new UsageError(
    `there is no option ${option}: set ${variable} in the environment or in a file .env, such as ${variable}=${given ?? row.example} (all settings: docs/settings.md)`,
  )
}

/** What was given with an option, where it is a plain word. */
function valueOf(argv: readonly string[], option: string): string | undefined {
  const at = argv.findIndex((word) => word === option || word.startsWith(`${option}=`))
  const value = argv[at] === option ? argv[at + 1] : argv[at]?.slice(option.length + 1)
  return value && /^\w[\w.:/]*$/.test(value) ? value : undefined
}

/** Faults of settings, arguments and the machine are for people; only a bug shows its stack. */
function complain(error: unknown): number {
  const known = ['UsageError', 'SettingsError', 'ListenError', 'AppError', 'DefinitionError', 'TypeError']
  const isArgument =
    error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
  if (error instanceof Error && (known.includes(error.name) || isArgument)) {
    console.error(`parley: ${error.message}${reasonOf(error)}${placeOf(error)}`)
    return error.name === 'UsageError' || isArgument ? 2 : 1
  }
  console.error('parley: unexpected failure:', error)
  return 1
}

/** What the machine said of a data file that cannot be used: the one who reads this can change it. */
function reasonOf(error: Error): string {
  if (!AppError.is(error) || error.code !== 'store_unavailable') return ''
  return error.cause instanceof Error ? ` (${error.cause.message})` : ''
}

/** Where in the author's own code a definition or a value is wrong. */
function placeOf({ name, stack = '' }: Error): string {
  if (name !== 'DefinitionError' && name !== 'TypeError') return ''
  const own = new URL('..', import.meta.url).href
  const frames = stack.split('\n').filter((line) => /^ {4}at .*(?:file:|[\\/])/.test(line))
  const foreign = frames.filter((line) => !line.includes('node:') && !line.includes(own))
  return foreign.map((line) => `\n${line}`).join('')
}
