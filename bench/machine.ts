import { arch, cpus, platform, release, totalmem } from 'node:os'
import { readFileSync } from 'node:fs'
import { canPin } from './child.ts'

/** What a reader must know to compare results. No names of hosts or people. */
export function describeMachine(): Record<string, unknown> {
  const [first] = cpus()
  return {
    platform: `${platform()} ${arch()} ${release()}`,
    cpu: first?.model,
    cores: cpus().length,
    memory_gb: Math.round(totalmem() / 1024 ** 3),
    pinned: canPin,
    node: process.version,
    sqlite: process.versions.sqlite,
    versions: dependencyVersions(),
  }
}

function dependencyVersions(): Record<string, string> {
  const file = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  // Our own package file.
  const { version, dependencies } = JSON.parse(file) as {
    version: string
    dependencies: Record<string, string>
  }
  return { parley: version, ...dependencies }
}
