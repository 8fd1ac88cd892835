/** A shop of pets in OpenAPI 3.0: its ways to say null, limits, references and parameters. */
export const petsDocument = {
  openapi: '3.0.3',
  info: { title: 'Pets', version: '1' },
  servers: [{ url: 'https://{region}.pets.example/v1', variables: { region: { default: 'eu' } } }],
  paths: {
    '/pets': {
      get: {
        operationId: 'listPets',
        summary: 'Lists pets.',
        tags: ['pets'],
        parameters: [
          { $ref: '#/components/parameters/Limit' },
          { name: 'tags', in: 'query', schema: { type: 'array', items: { type: 'string' } } },
          { name: 'ids', in: 'query', explode: false, schema: { type: 'array', items: { type: 'integer' } } },
          {
            name: 'words',
            in: 'query',
            style: 'pipeDelimited',
            explode: false,
            schema: { type: 'array', items: { type: 'string' } },
          },
          {
            name: 'filter',
            in: 'query',
            style: 'deepObject',
            explode: true,
            schema: {
              type: 'object',
              properties: {
                status: { type: 'string' },
                age: { type: 'object', properties: { min: { type: 'integer' } } },
              },
            },
          },
          {
            name: 'size',
            in: 'query',
            schema: {
              type: 'object',
              properties: { width: { type: 'integer' }, height: { type: 'integer' } },
            },
          },
          { name: 'where', in: 'query', content: { 'application/json': { schema: { type: 'object' } } } },
          { name: 'X-Page', in: 'header', schema: { type: 'integer' } },
          { name: 'Authorization', in: 'header', schema: { type: 'string' } },
          { name: 'session', in: 'cookie', schema: { type: 'string' } },
        ],
        responses: { 200: { description: 'ok' } },
      },
      post: {
        operationId: 'create pet!',
        description: 'Adds a pet.',
        requestBody: { $ref: '#/components/requestBodies/Pet' },
        responses: { 201: { description: 'created' } },
      },
    },
    '/pets/{petId}': {
      parameters: [
        {
          name: 'petId',
          in: 'path',
          required: true,
          description: 'Which pet.',
          schema: { type: 'string', format: 'uuid' },
        },
      ],
      get: { operationId: 'getPet', responses: {} },
      put: {
        operationId: 'replacePet',
        requestBody: { $ref: '#/components/requestBodies/Pet' },
        responses: {},
      },
      patch: {
        operationId: 'changePet',
        deprecated: true,
        requestBody: {
          content: { 'application/merge-patch+json': { schema: { $ref: '#/components/schemas/NewPet' } } },
        },
        responses: {},
      },
      delete: { responses: {} },
    },
    '/pets/{petId}/photo': {
      put: {
        operationId: 'putPhoto',
        requestBody: {
          required: true,
          content: { 'image/png': { schema: { type: 'string', format: 'binary' } } },
        },
        responses: {},
      },
    },
  },
  components: {
    parameters: {
      Limit: {
        name: 'limit',
        in: 'query',
        description: 'How many.',
        schema: { type: 'integer', minimum: 0, exclusiveMinimum: true, maximum: 100, default: 20 },
      },
    },
    requestBodies: {
      Pet: {
        required: true,
        content: { 'application/json': { schema: { $ref: '#/components/schemas/NewPet' } } },
      },
    },
    schemas: {
      Named: {
        type: 'object',
        required: ['id', 'name'],
        properties: { id: { type: 'string', readOnly: true }, name: { type: 'string', minLength: 1 } },
      },
      NewPet: {
        allOf: [
          { $ref: '#/components/schemas/Named' },
          {
            type: 'object',
            required: ['id', 'kind'],
            properties: {
              kind: { type: 'string', enum: ['cat', 'dog'], default: 'cat' },
              nickname: { type: 'string', nullable: true, default: 'Buddy' },
              friend: { $ref: '#/components/schemas/Friend' },
            },
          },
        ],
      },
      Friend: {
        type: 'object',
        properties: { name: { type: 'string' }, friend: { $ref: '#/components/schemas/Friend' } },
      },
    },
  },
}

/** Notes in OpenAPI 3.1: JSON Schema as it is, references with words beside them, a path item by reference. */
export const notesDocument = {
  openapi: '3.1.0',
  info: { title: 'Notes', version: '1' },
  servers: [{ url: 'https://notes.example' }],
  paths: {
    '/notes/{id}': { $ref: '#/components/pathItems/Note' },
    '/search': {
      post: {
        operationId: 'notes.search',
        requestBody: {
          required: true,
          content: {
            'application/json; charset=utf-8': {
              schema: {
                type: 'object',
                properties: {
                  query: { type: ['string', 'null'], minLength: 2 },
                  kind: { const: 'note' },
                  order: {
                    oneOf: [
                      { type: 'string' },
                      { $ref: '#/components/schemas/Order', description: 'A list of orders.' },
                    ],
                  },
                  odd: { not: { type: 'string' }, description: 'Anything but text.' },
                  pattern: { type: 'string', pattern: '(?<broken' },
                  range: { type: 'number', exclusiveMinimum: 0, multipleOf: 0.5 },
                  elsewhere: { $ref: 'https://other.example/schema.json#/x' },
                  missing: { $ref: '#/components/schemas/Missing' },
                },
                required: ['query'],
                dependentRequired: { kind: ['order'] },
              },
            },
          },
        },
        responses: {},
      },
    },
  },
  components: {
    pathItems: {
      Note: {
        get: { responses: {} },
        servers: [{ url: 'https://reader.notes.example/api/' }],
      },
    },
    schemas: {
      Order: {
        type: 'array',
        items: { $ref: '#/components/schemas/Order/$defs/Entry' },
        $defs: { Entry: { type: 'string', enum: ['new', 'old'] } },
      },
    },
  },
}
