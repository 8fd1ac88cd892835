import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openapiTools, type OpenapiToolsOptions } from '../../src/tools/openapi/openapi-tools.ts'
import { notesDocument, petsDocument } from './openapi-documents.ts'
import { key, operation, petsTools, sentBy, startPets, toolOf } from './openapi-under-test.ts'
import { callTool } from './tool-call.ts'

describe('the tools', () => {
  test('are the operations that can be called, with their effects', () => {
    expect(petsTools().map(({ name, effect, description }) => [name, effect, description])).toEqual([
      ['listPets', 'read', 'Lists pets.'],
      ['create_pet', 'write', 'Adds a pet.'],
      ['getPet', 'read', 'GET /pets/{petId}'],
      ['replacePet', 'idempotent', 'PUT /pets/{petId}'],
      ['changePet', 'write', 'Deprecated. PATCH /pets/{petId}'],
      ['delete_pets_petId', 'idempotent', 'DELETE /pets/{petId}'],
    ])
  })

  test('may be chosen by id, by method and path, or by a function', () => {
    const namesOf = (operations: OpenapiToolsOptions['operations']) =>
      petsTools({ operations: operations! }).map(({ name }) => name)
    expect(namesOf(['getPet', 'DELETE /pets/{petId}'])).toEqual(['getPet', 'delete_pets_petId'])
    expect(namesOf(({ tags }) => tags.includes('pets'))).toEqual(['listPets'])
    expect(namesOf(({ method, deprecated }) => method !== 'GET' && !deprecated)).toEqual([
      'create_pet',
      'replacePet',
      'delete_pets_petId',
    ])
  })

  test('have names that providers accept, no two alike', () => {
    const long = 'x'.repeat(100)
    const paths = Object.fromEntries(
      ['a b', 'a.b', 'a/b', long, `${long}y`].map((operationId, i) => [`/${i}`, { get: { operationId } }]),
    )
    const names = openapiTools({
      document: { openapi: '3.0.0', servers: [{ url: 'https://a.example' }], paths },
      prefix: 'my-api_',
    }).map(({ name }) => name)
    expect(names).toEqual([
      'my-api_a_b',
      'my-api_a_b_2',
      'my-api_a_b_3',
      `my-api_${'x'.repeat(57)}`,
      `my-api_${'x'.repeat(53)}_2`,
    ])
    for (const name of names) expect(name.length).toBeLessThanOrEqual(64)
  })

  test('cannot have more schemas than could be sent, however short the document that refers to them is', () => {
    const many = { type: 'object', allOf: Array.from({ length: 1_000 }, () => ({})) }
    const schema = { $ref: '#/components/schemas/many' }
    const requestBody = { content: { 'application/json': { schema } } }
    const paths = Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [`/${i}`, { post: { operationId: `o${i}`, requestBody } }]),
    )
    const document = {
      openapi: '3.1.0',
      servers: [{ url: 'https://a.example' }],
      paths,
      components: { schemas: { many } },
    }
    expect(() => openapiTools({ document })).toThrow(
      'openapiTools: the arguments have more than 50000 schemas within them: choose fewer operations',
    )
    expect(openapiTools({ document, operations: ['o0', 'o59'] })).toHaveLength(2)
  })

  test('ask for approval as the author says', async () => {
    const gated = async (approval: OpenapiToolsOptions['approval']) => {
      const tools = petsTools({ approval: approval! })
      const answers = await Promise.all(tools.map(async (tool) => tool.needsApproval({}, {} as never)))
      return tools.filter((_, i) => answers[i]).map(({ name }) => name)
    }
    expect(await gated('never')).toEqual([])
    expect(await gated('required')).toHaveLength(6)
    expect(await gated('writes')).toEqual(['create_pet', 'replacePet', 'changePet', 'delete_pets_petId'])
    expect(await gated(({ method }) => method === 'DELETE')).toEqual(['delete_pets_petId'])
  })
})

describe('the arguments', () => {
  const parametersOf = (document: object, name: string) =>
    toolOf(openapiTools({ document: document as Record<string, unknown> }), name).parameters

  test('are the parameters, without what the connection or the specification keeps to itself', () => {
    const { properties, required } = parametersOf(petsDocument, 'listPets')
    expect(required).toBeUndefined()
    expect(Object.keys(properties as object)).toEqual([
      'limit',
      'tags',
      'ids',
      'words',
      'filter',
      'size',
      'where',
      'X-Page',
    ])
    expect(properties).toMatchObject({
      limit: { type: 'integer', exclusiveMinimum: 0, maximum: 100, description: 'How many. Default: 20.' },
      tags: { type: 'array', items: { type: 'string' } },
    })
    expect((properties as { limit: object }).limit).not.toHaveProperty('minimum')
  })

  test('are a path parameter and a body, with references resolved and a circle cut', () => {
    expect(parametersOf(petsDocument, 'replacePet')).toEqual({
      type: 'object',
      properties: {
        petId: { type: 'string', description: 'Which pet. Format: uuid.' },
        body: {
          type: 'object',
          properties: {
            name: { type: 'string', minLength: 1 },
            kind: { type: 'string', enum: ['cat', 'dog'], description: 'Default: "cat".' },
            nickname: { type: ['string', 'null'], description: 'Default: "Buddy".' },
            friend: { type: 'object', properties: { name: { type: 'string' }, friend: {} } },
          },
          required: ['name', 'kind'],
        },
      },
      required: ['petId', 'body'],
      additionalProperties: false,
    })
  })

  test('of OpenAPI 3.1 keep what a check can be made of, and say "anything" for the rest', () => {
    const tool = toolOf(openapiTools({ document: notesDocument }), 'notes_search')
    expect(tool.parameters).toMatchObject({
      required: ['body'],
      properties: {
        body: {
          type: 'object',
          required: ['query'],
          properties: {
            query: { type: ['string', 'null'], minLength: 2 },
            kind: { enum: ['note'] },
            order: {
              anyOf: [
                { type: 'string' },
                {
                  type: 'array',
                  items: { type: 'string', enum: ['new', 'old'] },
                  description: 'A list of orders.',
                },
              ],
            },
            odd: { description: 'Anything but text.' },
            pattern: { type: 'string' },
            range: { type: 'number', exclusiveMinimum: 0, multipleOf: 0.5 },
            elsewhere: {},
            missing: {},
          },
        },
      },
    })
    const parses = (body: object) => tool.parse({ body }).ok
    expect(
      parses({ query: null, kind: 'note', order: ['new'], range: 1.5, elsewhere: [1], odd: 1, more: 1 }),
    ).toBe(true)
    expect([parses({}), parses({ query: 'a' }), parses({ query: 'ab', order: ['x'] })]).toEqual([
      false,
      false,
      false,
    ])
  })

  test('have names that providers accept, no two alike', () => {
    const parameters = [
      { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
      { name: 'id', in: 'query', schema: { type: 'string' } },
      { name: 'body', in: 'query', schema: { type: 'string' } },
      { name: 'filter[name]', in: 'query', schema: { type: 'string' } },
      { name: 'filter(name)', in: 'query', schema: { type: 'string' } },
      { name: '{}', in: 'query', schema: { type: 'string' } },
    ]
    const requestBody = { content: { 'application/json': { schema: { type: 'string' } } } }
    const document = operation({ parameters, requestBody }, 'post', '/a/{id}')
    expect(Object.keys(parametersOf(document, 'a')['properties'] as object)).toEqual([
      'id',
      'id_query',
      'body_query',
      'filter_name',
      'filter_name_query',
      'value',
      'body',
    ])
  })

  test('that nobody described are texts where the path needs them', () => {
    expect(parametersOf(operation({}, 'get', '/a/{id}'), 'a')).toMatchObject({
      required: ['id'],
      properties: { id: { type: 'string' } },
    })
  })

  test('do not ask for what the author sets', () => {
    const parameters = [
      { name: 'X-Key', in: 'header', required: true, schema: { type: 'string' } },
      { name: 'token', in: 'query', required: true, schema: { type: 'string' } },
    ]
    const [tool] = openapiTools({
      document: operation({ parameters }),
      headers: { 'x-key': key },
      auth: { apiKey: { in: 'query', name: 'token', value: key } },
    })
    expect(tool!.parameters).toEqual({ type: 'object', properties: {}, additionalProperties: false })
  })

  test('are never filled in with defaults: an update must not set what nobody asked to set', async () => {
    const { server, call } = await startPets()
    await call('changePet', { petId: '1', body: { name: 'Rex', kind: 'dog' } })
    await call('listPets', {})
    expect(server.requests.map(({ path, body }) => [path, body])).toEqual([
      ['/v1/pets/1', '{"kind":"dog","name":"Rex"}'],
      ['/v1/pets', ''],
    ])
  })

  test('of a schema that multiplies without end are found in bounded time and space', () => {
    const schemas = Object.fromEntries(
      Array.from({ length: 30 }, (_, i) => {
        const next = { $ref: `#/components/schemas/s${i + 1}` }
        return [
          `s${i}`,
          {
            type: 'object',
            properties: Object.fromEntries('abcdefgh'.split('').map((name) => [name, next])),
          },
        ]
      }),
    )
    const requestBody = { content: { 'application/json': { schema: { $ref: '#/components/schemas/s0' } } } }
    const document = { ...operation({ requestBody }, 'post'), components: { schemas } }
    expect(JSON.stringify(parametersOf(document, 'a')).length).toBeLessThan(200_000)
  })
})

describe('a document', () => {
  test('may be the path or the URL of a file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'parley-openapi-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'pets.json')
    writeFileSync(path, `\uFEFF${JSON.stringify(petsDocument)}`)
    for (const document of [path, pathToFileURL(path), pathToFileURL(path).href]) {
      expect(openapiTools({ document })).toHaveLength(6)
    }
  })

  test('names its server by its variables, and baseURL stands before it', async () => {
    const get = (options: Partial<OpenapiToolsOptions>) =>
      sentBy(() => callTool(toolOf(petsTools(options), 'getPet'), { petId: '1' }))
    expect(await get({})).toMatchObject({ url: 'https://eu.pets.example/v1/pets/1' })
    expect(await get({ baseURL: 'https://us.example:8443/a/' })).toMatchObject({
      url: 'https://us.example:8443/a/pets/1',
    })
  })

  test.each([
    ['of Swagger', { swagger: '2.0', paths: {} }, /#\/openapi: must be 3\.0, 3\.1 or 3\.2, not Swagger 2\.0/],
    ['of a version nobody knows', { openapi: '4.0.0', paths: {} }, /#\/openapi: .* not "4\.0\.0"/],
    ['without a version', { paths: {} }, /#\/openapi: .* not absent/],
    ['without paths', { openapi: '3.1.0' }, /#\/paths: must be an object/],
    ['without operations', { openapi: '3.1.0', paths: {} }, /#\/paths: no operation/],
    [
      'without a server',
      { ...operation({}), servers: undefined },
      /#\/servers\/0: "\/" is no absolute URL; give baseURL/,
    ],
    [
      'with a relative server',
      { ...operation({}), servers: [{ url: '/v1' }] },
      /#\/servers\/0: "\/v1" is no absolute URL/,
    ],
    [
      'with a server that is none of the web',
      { ...operation({}), servers: [{ url: 'ftp://a' }] },
      /#\/servers\/0/,
    ],
    [
      'with a parameter that leads nowhere',
      operation({ parameters: [{ $ref: '#/components/parameters/None' }] }, 'get', '/a/{b}'),
      /#\/paths\/~1a~1\{b\}\/get\/parameters\/0: leads to no object \(#\/components\/parameters\/None\)/,
    ],
    [
      'with a reference that leads to itself',
      operation({ requestBody: { $ref: '#/paths/~1a/post/requestBody' } }, 'post'),
      /#\/paths\/~1a\/post\/requestBody: leads to no object/,
    ],
    [
      'with an operation that is none',
      operation({}, 'get', '/a') && { openapi: '3.0.0', paths: { '/a': { get: 5 } } },
      /#\/paths\/~1a\/get/,
    ],
  ])('%s is refused with the place', (_, document, message) => {
    expect(() => openapiTools({ document: document as Record<string, unknown> })).toThrow(message)
    expect(() => openapiTools({ document: document as Record<string, unknown> })).toThrow(TypeError)
  })

  test.each([
    ['./pets.yaml', /only JSON is read/],
    ['https://pets.example/openapi.json', /fetch https:\/\/pets\.example yourself/],
    ['./there-is-none.json', /there-is-none\.json: ENOENT/],
  ])('at %s is refused', (document, message) => {
    expect(() => openapiTools({ document })).toThrow(message)
  })

  test('leaves operations out that cannot be called, and refuses them by name', () => {
    expect(petsTools().map(({ name }) => name)).not.toContain('putPhoto')
    expect(() => petsTools({ operations: ['putPhoto'] })).toThrow(
      /#\/paths\/~1pets~1\{petId\}~1photo\/put: cannot be called: it takes image\/png, and no JSON/,
    )
    const cookie = operation({ parameters: [{ name: 's', in: 'cookie', required: true }] })
    expect(() => openapiTools({ document: cookie, operations: ['a'] })).toThrow(/needs the cookie s/)
    const matrix = operation({ parameters: [{ name: 'b', in: 'path', style: 'matrix' }] }, 'get', '/a/{b}')
    expect(() => openapiTools({ document: matrix, operations: ['a'] })).toThrow(/style "matrix"/)
    expect(() => petsTools({ operations: ['getCat'] })).toThrow(/the document has no "getCat"/)
  })

  test('beside which an option is misspelt or holds more than a line is refused, and no key is told', () => {
    const misspelt = { aprove: 'required' } as Partial<OpenapiToolsOptions>
    expect(() => petsTools(misspelt)).toThrow(/aprove/)
    for (const options of [{ auth: { bearer: `${key}\n` } }, { headers: { 'x-key': `${key}\n` } }]) {
      expect(() => petsTools(options)).toThrow(TypeError)
      expect(() => petsTools(options)).not.toThrow(key)
    }
  })
})
