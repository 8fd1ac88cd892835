import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { root } from '../architecture/source-files.ts'
import { createDataDir, fixture, runCli, startServer } from './cli-server.ts'

/** Runs a command that ends by itself, in a folder of its own. */
async function run(args: string[], environment: Record<string, string> = {}) {
  const folder = await createDataDir()
  onTestFinished(() => folder.remove())
  return runIn(folder.path, { args, environment })
}

async function runIn(dataDir: string, options: { args: string[]; environment?: Record<string, string> }) {
  const program = runCli({ dataDir, ...options })
  onTestFinished(() => program.signal('SIGKILL'))
  const { code } = await program.exited
  const errors = program.errors()
  return { code, errors, lines: errors.trimEnd().split('\n') }
}

test('a second server on the data of one that runs does not start, and says why', async () => {
  const folder = await createDataDir()
  const server = await startServer({ dataDir: folder.path })
  try {
    const { code, lines } = await runIn(folder.path, { args: ['serve'] })
    expect(code).toBe(1)
    expect(lines).toEqual([
      expect.stringMatching(/^parley: Another Parley executes on .*parley\.db\. Stop it/),
    ])
    expect((await server.request('/ready')).status).toBe(200)
    expect(await server.json('/chat', { message: 'hi' })).toMatchObject({ completed: true })
  } finally {
    expect(await server.stop()).toBe(0)
  }
  // The one that could not start has left the data as it was.
  const next = await startServer({ dataDir: folder.path })
  expect(await next.json('/v1/runs')).toMatchObject({ data: [{ status: 'completed' }] })
  expect(await next.stop()).toBe(0)
  await folder.remove()
})

test('a port that is taken is named', async () => {
  const folder = await createDataDir()
  const server = await startServer({ dataDir: folder.path })
  try {
    const { code, lines } = await run(['serve'], { SERVER_PORT: String(server.port) })
    expect(code).toBe(1)
    expect(lines).toEqual([
      `parley: cannot listen on 127.0.0.1:${server.port}: another process listens there already; choose another SERVER_PORT`,
    ])
  } finally {
    expect(await server.stop()).toBe(0)
    await folder.remove()
  }
})

test('settings that are wrong stop the start with a line each, and no secret', async () => {
  const { code, lines, errors } = await run(['serve'], {
    SERVER_PORT: 'x',
    SERVER_HOST: '0.0.0.0',
    LLM_BASE_URL: 'nowhere',
    LLM_API_KEY: 'sk-secret',
    RUN_TIMEOUT: '5 parsecs',
    LOG_LEVEL: 'loud',
  })
  expect(code).toBe(1)
  const named = lines.map((line) => /^(?:parley: )?([A-Z_]+): /.exec(line)?.[1])
  expect(named).toHaveLength(5)
  expect(new Set(named)).toEqual(
    new Set(['SERVER_PORT', 'SERVER_HOST', 'LLM_BASE_URL', 'RUN_TIMEOUT', 'LOG_LEVEL']),
  )
  expect(errors).not.toContain('sk-secret')
})

test('a provider without a model stops the start', async () => {
  const { code, lines } = await run(['serve'], { LLM_BASE_URL: 'http://127.0.0.1:9/v1' })
  expect(code).toBe(1)
  expect(lines).toEqual(['parley: The agent "assistant" names no model: set LLM_DEFAULT_MODEL.'])
})

test.each([
  ['an unknown command', ['fly'], /^parley: unknown command "fly"/],
  [
    'an unknown option',
    ['serve', '--fly'],
    /^parley: unknown option --fly\n\nparley .*\n\n {2}parley serve /,
  ],
  [
    'a setting as an option',
    ['serve', '--port', '9000', 'x.ts'],
    /^parley: there is no option --port: set SERVER_PORT in the environment or in a file \.env, such as SERVER_PORT=9000 \(all settings: docs\/settings\.md\)$/m,
  ],
  ['a setting as an option of one word', ['serve', '--host=::'], /such as SERVER_HOST=127\.0\.0\.1 /],
  [
    'a setting of several words',
    ['serve', '--data-dir=/tmp/x', 'x.ts'],
    /such as DATA_DIR=\/var\/lib\/parley /,
  ],
  ['a secret as an option', ['--openai-api-key', 'sk0secret'], /such as OPENAI_API_KEY=sk-… /],
  ['a module that is not there', ['serve', 'nowhere.ts'], /^parley: there is no file nowhere\.ts$/m],
  ['two modules', ['serve', 'a.ts', 'b.ts'], /^parley: serve takes one module$/m],
])('%s is not understood: exit code 2', async (_name, args, message) => {
  const { code, errors } = await run(args)
  expect(code).toBe(2)
  expect(errors).toMatch(message)
  expect(errors).not.toContain('sk0secret')
  expect(errors).not.toContain('    at ')
})

test('a definition that is wrong is shown with its place in the module, not in Parley', async () => {
  const { code, lines } = await run(['serve', fixture('faulty-module.ts')])
  expect(code).toBe(1)
  expect(lines).toEqual([
    'parley: agent not a name: name: must be 1 to 64 of a-z A-Z 0-9 _ -',
    expect.stringMatching(/^ {4}at .*faulty-module\.ts:\d+:\d+\)?$/),
  ])
})

test.each([
  [
    'a package of Parley that is not installed',
    'agents.ts',
    "import 'parleykit'",
    /^parley: agents\.ts needs the package parleykit, .*run `npm install ".+" zod` in the folder of the file, \//,
  ],
  ['zod that is not installed', 'agents.ts', "import 'zod'", /^parley: agents\.ts needs the package zod, /],
  [
    'another package that is not installed',
    'agents.ts',
    "import 'not-installed-here/part'",
    /^parley: agents\.ts imports not-installed-here, which is not there: run `npm install not-installed-here`/,
  ],
  [
    'a file that is not there',
    'agents.ts',
    "import './other.ts'",
    /^parley: agents\.ts imports \/.*\/other\.ts, which is not there: check the path/,
  ],
  ['a syntax error', 'agents.ts', '\nconst a = ;', /^parley: \/.*agents\.ts:2: Expression expected$/],
  [
    'a syntax error in JavaScript',
    'agents.mjs',
    '\nconst a = ;',
    /^parley: \/.*agents\.mjs:2: Unexpected token ';'$/,
  ],
  [
    'TypeScript that is more than types',
    'agents.ts',
    'type T = 1\nenum A { B }',
    /^parley: \/.*agents\.ts:2: TypeScript enum is not supported in strip-only mode\nNode runs TypeScript by leaving the types out: no enums/,
  ],
  [
    'an export that is not there',
    'agents.mts',
    "import { nothing } from 'node:fs'\nexport default nothing",
    /^parley: \/.*agents\.mts:1: The requested module 'node:fs' does not provide an export named 'nothing'$/,
  ],
  [
    'an error the module throws',
    'agents.mts',
    "function check(): never {\n  throw new RangeError('no such agent')\n}\ncheck()\nexport {}",
    /^parley: agents\.mts failed while it was loaded: RangeError: no such agent\n {4}at check \(.*agents\.mts:2:9\)$/,
  ],
  [
    'a syntax error in data the module reads',
    'agents.mts',
    "JSON.parse('{')\nexport {}",
    /^parley: agents\.mts failed while it was loaded: SyntaxError: .*\n {4}at .*agents\.mts:1:6\)?$/,
  ],
  [
    'what is thrown and no error',
    'agents.mts',
    "throw 'nothing'\nexport {}",
    /^parley: agents\.mts threw 'nothing'$/,
  ],
])('%s in a module is told without the insides of Node', async (_name, file, source, message) => {
  const folder = await createDataDir()
  onTestFinished(() => folder.remove())
  await writeFile(join(folder.path, file), source)
  const { code, errors } = await runIn(folder.path, { args: ['serve', file] })
  expect(errors.trimEnd()).toMatch(message)
  expect(errors).not.toMatch(/node:internal|unexpected failure/)
  expect(code).toBe(2)
})

test.each(['export default 1', "import 'node:fs'", 'await 1'])(
  'a module of a package that says it has none is told how to change that: %s',
  async (source) => {
    const folder = await createDataDir()
    onTestFinished(() => folder.remove())
    await writeFile(join(folder.path, 'package.json'), '{"type":"commonjs"}')
    await mkdir(join(folder.path, 'agents'))
    await writeFile(join(folder.path, 'agents/desk.ts'), source)
    const { code, errors } = await runIn(folder.path, { args: ['serve', 'agents/desk.ts'] })
    expect(errors).toMatch(
      /^parley: \/.*desk\.ts:1: .*\nThe package\.json of .* run `npm pkg set type=module` in that folder\.$/m,
    )
    expect(errors).toContain(`The package.json of ${folder.path} has`)
    expect(code).toBe(2)
  },
)

/** Serves a module of this text, and runs the command it shows. */
async function tryOut(source: string) {
  const folder = await createDataDir()
  onTestFinished(() => folder.remove())
  await writeFile(join(folder.path, 'package.json'), '{"type":"module"}')
  const imports = `import { agent, askUser, template, tool } from ${JSON.stringify(join(root, 'src/index.ts'))}\n`
  await writeFile(join(folder.path, 'agents.ts'), imports + source)
  const server = await startServer({ dataDir: folder.path, args: ['serve', 'agents.ts'] })
  onTestFinished(async () => void (await server.stop()))
  await server.wrote(/ -d '.*'\n/)
  const [, url = '', body = ''] = /curl -X POST (\S+) .* -d '(.*)'\n/.exec(server.output()) ?? []
  return { server, body, answer: await server.json(new URL(url).pathname, JSON.parse(body)) }
}

test('the call that is shown gives a template what it needs', async () => {
  const { body, answer } = await tryOut(`export default agent({
    name: 'guide',
    instructions: template('{{customer.name}} {{customer.city.zip}} {{customer}}'),
  })`)
  expect(JSON.parse(body)).toMatchObject({ run_context: { customer: { name: '…', city: { zip: '…' } } } })
  expect(answer).toMatchObject({ status: 'completed' })
})

test('an agent that needs nothing is shown the quick route, and the log says where the server listens', async () => {
  const { server, body, answer } = await tryOut(
    "export default agent({ name: 'guide', instructions: 'Guide.' })",
  )
  expect(body).toBe('{"message":"Hello"}')
  expect(answer).toMatchObject({ completed: true })
  expect(await server.logged(({ msg }) => msg === 'listening')).toMatchObject({
    url: server.url,
    agents: ['guide'],
  })
  await server.logged(
    ({ level, msg }) => level === 'warn' && msg.startsWith('no authentication is configured'),
  )
  expect(server.log().filter(({ tools }) => tools !== undefined)).toEqual([])
})

test('tools that wait for people are named at the start: nobody can decide over HTTP yet', async () => {
  const { server } = await tryOut(`
    const make = (name, approval) => tool({ name, description: '', approval, execute: () => '' })
    const clerk = agent({ name: 'clerk', tools: [make('refund', () => false), make('look')] })
    const writer = agent({ name: 'writer', tools: [make('send', 'required')] })
    export default agent({ name: 'desk', tools: [askUser, writer.asTool()], specialists: [{ agent: clerk, keywords: ['money'] }] })`)
  const { level, tools, msg } = await server.logged((line) => line['tools'] !== undefined)
  expect({ level, tools }).toEqual({ level: 'warn', tools: ['ask_user', 'send', 'refund'] })
  expect(msg).toContain('parley.approvals.decide')
})

test('a data folder that is none is told with what the system says of it', async () => {
  const folder = await createDataDir()
  onTestFinished(() => folder.remove())
  const file = join(folder.path, 'file')
  await writeFile(file, '')
  const { code, lines } = await runIn(folder.path, { args: ['serve'], environment: { DATA_DIR: file } })
  expect(code).toBe(1)
  expect(lines).toEqual([
    expect.stringMatching(/^parley: The data folder .*file cannot be made\. \(.*EEXIST.*\)$/),
  ])
})
