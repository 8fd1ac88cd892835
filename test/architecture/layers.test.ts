import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { layerFault, layerOf } from './layers.ts'
import { type Import, importsOf, isTest, root, sourceFiles } from './source-files.ts'

const files = sourceFiles('src')
const imports = new Map(files.map((file) => [file.path, importsOf(file)]))

test('every source belongs to a layer', () => {
  for (const { path } of files) if (!isTest(path)) expect(layerOf(path)).toBeGreaterThanOrEqual(0)
})

test('imports point down only', () => {
  const faults: string[] = []
  for (const [importer, list] of imports) {
    for (const { target } of list) {
      const fault = target === undefined ? undefined : layerFault(importer, target)
      if (fault) faults.push(`${importer} imports ${target}: ${fault}`)
    }
  }
  expect(faults).toEqual([])
})

test('every relative import names a file that is there', () => {
  const missing: string[] = []
  for (const [importer, list] of imports) {
    for (const { target } of list) {
      if (target !== undefined && !existsSync(join(root, target)))
        missing.push(`${importer} imports ${target}`)
    }
  }
  expect(missing).toEqual([])
})

// Imports of types count: two files that need each other's types cannot be read apart either.
test('no file imports itself by way of others', () => {
  expect(findCycles(imports)).toEqual([])
})

test('sources import packages that are dependencies, not development tools', async () => {
  const { default: manifest } = (await import('../../package.json', { with: { type: 'json' } })) as {
    default: { dependencies: Record<string, string>; optionalDependencies?: Record<string, string> }
  }
  const allowed = new Set([
    ...Object.keys(manifest.dependencies),
    ...Object.keys(manifest.optionalDependencies ?? {}),
  ])
  const strangers: string[] = []
  for (const [importer, list] of imports) {
    // Contract suites are tests, kept where users' adapters could be held to them; nothing published imports them.
    if (isTest(importer) || importer.startsWith('src/testing/')) continue
    for (const { specifier, target, kind } of list) {
      if (target !== undefined || specifier.startsWith('node:') || kind === 'type') continue
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/')
      if (!allowed.has(name)) strangers.push(`${importer} imports ${name}`)
    }
  }
  expect(strangers).toEqual([])
})

describe('the rules', () => {
  test.each([
    ['src/events.ts', 'src/errors.ts'],
    ['src/errors.ts', 'src/ids.ts'],
    ['src/agent/loop.ts', 'src/models/model.ts'],
    ['src/agent/tool.ts', 'src/identity/principal.ts'],
    ['src/tools/calculator.ts', 'src/agent/tool.ts'],
    ['src/store/sqlite/run-create.ts', 'src/store/store.ts'],
    ['src/store/sqlite/migrate.ts', 'src/store/migrations/migrations.ts'],
    ['src/runs/executor.ts', 'src/agent/loop.ts'],
    ['src/http/sse.ts', 'src/runs/runs.ts'],
    ['src/protocols/native/routes.ts', 'src/http/sse.ts'],
    ['src/protocols/native/routes.ts', 'src/protocols/protocol.ts'],
    ['src/protocols/root.ts', 'src/protocols/compat/kawai/routes.ts'],
    ['src/protocols/root/routes.ts', 'src/protocols/compat/kawai/routes.ts'],
    ['src/serve.ts', 'src/parley.ts'],
    ['src/cli/main.ts', 'src/serve.ts'],
    ['src/protocols/compat/kawai/routes.ts', 'src/protocols/compat/session.ts'],
    ['src/parley.ts', 'src/store/sqlite/sqlite-store.ts'],
    ['src/parley.ts', 'src/protocols/native/routes.ts'],
    ['src/cli/migrate.ts', 'src/store/sqlite/migrate.ts'],
    ['src/testing/test-server.ts', 'src/parley.ts'],
    ['src/index.ts', 'src/parley.ts'],
    ['src/cli/main.ts', 'package.json'],
    ['src/runs/executor.test.ts', 'src/testing/fake-clock.ts'],
    ['test/e2e/serve.test.ts', 'src/parley.ts'],
  ])('%s may import %s', (importer, imported) => {
    expect(layerFault(importer, imported)).toBeUndefined()
  })

  test.each([
    ['src/errors.ts', 'src/events.ts', 'leaf is below vocabulary'],
    ['src/items.ts', 'src/models/model.ts', 'vocabulary is below port'],
    ['src/store/store.ts', 'src/agent/agent.ts', 'port is below middle'],
    ['src/agent/loop.ts', 'src/runs/runs.ts', 'middle is below runs'],
    [
      'src/agent/loop.ts',
      'src/store/migrations/migrations.ts',
      'agent and store know each other through ports only',
    ],
    ['src/agent/loop.ts', 'src/models/registry.ts', 'agent and models know each other through ports only'],
    ['src/models/demo.ts', 'src/agent/tool.ts', 'models and agent know each other through ports only'],
    ['src/tools/calculator.ts', 'src/agent/loop.ts', 'tools and agent know each other through ports only'],
    ['src/store/sqlite/rows.ts', 'src/store/postgres/rows.ts', 'nothing outside store/postgres knows it'],
    ['src/store/store-factory.ts', 'src/store/sqlite/rows.ts', 'nothing outside store/sqlite knows it'],
    [
      'src/runs/executor.ts',
      'src/live/in-process/in-process-tails.ts',
      'nothing outside live/in-process knows it',
    ],
    ['src/runs/executor.ts', 'src/http/app.ts', 'runs is below http'],
    ['src/http/app.ts', 'src/protocols/native/routes.ts', 'http is below protocols'],
    [
      'src/protocols/native/routes.ts',
      'src/protocols/openai-chat/encode.ts',
      'one protocol does not import another',
    ],
    [
      'src/protocols/compat/kawai/a.ts',
      'src/protocols/compat/beluga/a.ts',
      'one protocol does not import another',
    ],
    ['src/protocols/protocol.ts', 'src/protocols/native/routes.ts', 'one protocol does not import another'],
    ['src/protocols/native/routes.ts', 'src/parley.ts', 'protocols is below composition root'],
    ['src/parley.ts', 'src/cli/main.ts', 'composition root is below outermost'],
    ['src/runs/executor.ts', 'src/testing/fake-clock.ts', 'runs is below outermost'],
    ['src/testing/test-server.ts', 'src/cli/main.ts', 'testing may import anything below the command line'],
    ['src/cli/main.ts', 'src/testing/fake-clock.ts', 'the command line does not import testing'],
    ['src/ids.ts', 'test/e2e/x.ts', 'src imports nothing from outside src'],
    ['src/ids.test.ts', 'test/e2e/x.ts', 'src imports nothing from outside src'],
  ])('%s may not import %s', (importer, imported, why) => {
    expect(layerFault(importer, imported)).toContain(why)
  })

  test('a file without a layer is told', () => {
    expect(() => layerOf('src/stuff.ts')).toThrow('src/stuff.ts belongs to no layer')
  })

  test('the scanner finds every way to import', () => {
    const text = [
      "import { a } from './a.ts'",
      "import type { B } from './b.ts'",
      'import {\n  c,\n  type C,\n} from "../c.ts"',
      "import './side.ts'",
      "export { d } from './d.ts'",
      "export type { E } from './e.ts'",
      "export * from './f.ts'",
      "  const g = await import('./g.ts')",
      "new Worker(new URL('./h.ts', import.meta.url))",
      " * import { no } from './comment.ts'",
      " * const no = await import('./comment.ts')",
      "import { z } from 'zod'",
      "export const text = 'from'",
    ].join('\n')
    const found = importsOf({ path: 'src/agent/x.ts', text })
    expect(found.map(({ kind, target, specifier }) => `${kind} ${target ?? specifier}`).toSorted()).toEqual(
      [
        'static src/agent/a.ts',
        'type src/agent/b.ts',
        'static src/c.ts',
        'static src/agent/side.ts',
        'static src/agent/d.ts',
        'type src/agent/e.ts',
        'static src/agent/f.ts',
        'dynamic src/agent/g.ts',
        'dynamic src/agent/h.ts',
        'static zod',
      ].toSorted(),
    )
  })

  test('a cycle is found, and told file by file', () => {
    const edge = (target: string): Import => ({ specifier: target, target, kind: 'type' })
    const graph = new Map([
      ['a', [edge('b')]],
      ['b', [edge('c'), edge('d')]],
      ['c', [edge('b')]],
      ['d', []],
    ])
    expect(findCycles(graph)).toEqual(['b → c → b'])
  })
})

function findCycles(graph: Map<string, Import[]>): string[] {
  const cycles: string[] = []
  const state = new Map<string, 'open' | 'done'>()
  const visit = (file: string, trail: string[]): void => {
    if (state.get(file) === 'done') return
    if (state.get(file) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(file)), file].join(' → '))
      return
    }
    state.set(file, 'open')
    for (const { target } of graph.get(file) ?? []) if (target !== undefined) visit(target, [...trail, file])
    state.set(file, 'done')
  }
  for (const file of graph.keys()) visit(file, [])
  return cycles
}
