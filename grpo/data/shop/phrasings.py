"""The sentences of the reviews: for each fact, how training says it and how held-out rows say it."""

# Held-out sentences use words that training uses too, in sentences that training does not have: what is tested is
# reading, not a larger vocabulary. Two tests hold both halves of that.

OPENINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "positivo": {
        "train": (
            "comprei {um} {product} e amei",
            "{art} {product} superou minhas expectativas",
            "estou adorando {art} {product}",
            "recebi {art} {product} e gostei muito",
            "{art} {product} é tudo que eu queria",
            "que compra boa, {art} {product} é excelente",
            "minha mãe adorou {art} {product}",
            "{art} {product} funciona muito bem",
            "pedi {um} {product} e fiquei feliz demais",
            "já uso {art} {product} todo dia e recomendo",
            "gostei demais {do} {product}",
            "muito feliz com {art} {product}",
        ),
        "held_out": (
            "fiquei muito feliz com {art} {product}",
            "{art} {product} é excelente e uso todo dia",
            "recomendo muito {art} {product}",
            "amei {art} {product}, superou tudo que eu queria",
            "pedi {art} {product} e amei muito",
            "estou feliz {no} {product}, funciona bem demais",
        ),
    },
    "neutro": {
        "train": (
            "comprei {um} {product} e é mais ou menos",
            "{art} {product} é ok, nada demais",
            "{art} {product} cumpre o que promete e só",
            "esperava mais {do} {product}",
            "gostei em parte {do} {product}",
            "{art} {product} tem lado bom e lado ruim",
            "usei {art} {product} e achei razoável",
            "pedi {um} {product}, dá pro gasto",
            "{art} {product} é razoável, nada de especial",
            "sobre {art} {product}: bom mas nem tanto",
        ),
        "held_out": (
            "achei {art} {product} mais ou menos",
            "usei {um} {product} e é ok",
            "tem lado bom e ruim {art} {product}",
            "{art} {product} só dá pro gasto, esperava mais",
            "{art} {product} é bom em parte, nada de especial",
        ),
    },
    "negativo": {
        "train": (
            "comprei {um} {product} e me arrependi",
            "{art} {product} foi uma decepção",
            "que decepção com {art} {product}",
            "péssima compra, {art} {product} só deu dor de cabeça",
            "não gostei nada {do} {product}",
            "estou muito triste com {art} {product}",
            "pedi {um} {product} e só passei raiva",
            "{art} {product} não vale nada",
            "odiei {art} {product}",
            "não recomendo {art} {product} pra ninguém",
        ),
        "held_out": (
            "me arrependi {do} {product}",
            "{art} {product} só me deu raiva",
            "decepção total, odiei {art} {product}",
            "fiquei triste com {art} {product}, péssima compra",
            "não recomendo nada {art} {product}",
        ),
    },
}

PRAISES: dict[str, dict[str, tuple[str, ...]]] = {
    "entrega": {
        "train": (
            "a entrega foi rápida",
            "chegou antes do prazo",
            "o entregador foi muito educado",
            "veio bem rápido",
            "a transportadora caprichou",
            "entregaram tudo certinho",
        ),
        "held_out": ("a entrega veio antes do prazo", "o entregador foi rápido", "a transportadora foi muito rápida"),
    },
    "produto": {
        "train": (
            "a qualidade é ótima",
            "o acabamento é lindo",
            "o material é muito bom",
            "a cor é linda",
            "veio bem embalado",
            "o tamanho é perfeito",
        ),
        "held_out": ("o material é lindo", "o acabamento é ótimo e o tamanho perfeito", "a qualidade é muito boa"),
    },
    "atendimento": {
        "train": (
            "o atendimento foi ótimo",
            "o vendedor respondeu rápido",
            "a loja foi muito atenciosa",
            "o suporte me ajudou bastante",
            "fui muito bem atendida",
        ),
        "held_out": ("o suporte foi muito bom", "a loja respondeu rápido", "ótimo atendimento do vendedor"),
    },
    "preco": {
        "train": (
            "o preço estava ótimo",
            "valeu cada centavo",
            "bom e barato",
            "o valor compensa muito",
            "melhor preço que achei",
        ),
        "held_out": ("o valor estava ótimo", "barato, compensa muito", "valeu, melhor preço"),
    },
}

COMPLAINTS: dict[str, dict[str, tuple[str, ...]]] = {
    "entrega": {
        "train": (
            "a entrega atrasou demais",
            "a transportadora perdeu o prazo",
            "o prazo de entrega não foi cumprido",
            "fiquei esperando o entregador e nada",
            "o rastreio ficou parado",
            "a caixa demorou uma eternidade",
            "o correio atrasou tudo",
            "passou do prazo e ninguém entregou",
            "o pedido ficou parado na transportadora",
            "atrasou e não avisaram do atraso",
        ),
        "held_out": (
            "o correio perdeu o prazo",
            "a transportadora atrasou o pedido",
            "o rastreio parado e a entrega atrasou",
            "o pedido passou do prazo e nada do entregador",
            "demorou uma eternidade no correio",
        ),
    },
    "produto": {
        "train": (
            "veio com defeito",
            "parou de funcionar na primeira semana",
            "a peça chegou quebrada",
            "o acabamento é muito ruim",
            "o material é fraco e quebrou",
            "veio a cor errada",
            "não liga de jeito nenhum",
            "faltou uma peça na caixa",
            "a qualidade é péssima",
            "chegou com um lado quebrado",
        ),
        "held_out": (
            "chegou com defeito e não liga",
            "na primeira semana quebrou",
            "a peça veio errada",
            "o material é péssimo, quebrou um lado",
            "parou de funcionar e o acabamento é fraco",
        ),
    },
    "atendimento": {
        "train": (
            "o atendimento foi péssimo",
            "ninguém responde no chat",
            "o suporte me ignorou",
            "o vendedor foi grosso comigo",
            "liguei para o sac e não resolveram",
            "mandei mensagem e ninguém respondeu",
            "o chat só enrola",
            "a atendente desligou na minha cara",
            "o sac não resolve nada",
        ),
        "held_out": (
            "o suporte só enrola",
            "mandei mensagem no chat e me ignorou o vendedor",
            "liguei e a atendente foi péssima comigo",
            "o sac não responde ninguém",
        ),
    },
    "preco": {
        "train": (
            "achei caro demais",
            "o preço não compensa",
            "está mais caro que em outras lojas",
            "em outra loja o preço é menor",
            "o valor subiu depois da compra",
            "o frete deixou tudo caro",
            "muito caro pelo que é",
            "preço abusivo",
            "caro, não vale o valor",
        ),
        "held_out": (
            "o valor é abusivo",
            "achei o preço caro",
            "em outras lojas o valor é menor",
            "não compensa, o frete subiu o preço",
        ),
    },
}

DELIVERY_DAYS = {
    "train": (
        "chegou em {days} dias",
        "levou {days} dias para chegar",
        "demorou {days} dias",
        "a entrega foi em {days} dias",
        "esperei {days} dias",
        "recebi depois de {days} dias",
        "{days} dias até chegar aqui",
        "o pedido chegou com {days} dias",
        "entregaram em {days} dias",
    ),
    "held_out": (
        "o pedido levou {days} dias",
        "esperei {days} dias até chegar",
        "chegou aqui depois de {days} dias",
        "recebi o pedido em {days} dias",
    ),
}

PRICES = {
    "train": (
        "paguei R$ {price}",
        "custou R$ {price}",
        "saiu por {price} reais",
        "dei {price} reais",
        "foi R$ {price} no pix",
        "o preço foi R$ {price}",
        "paguei {price} no cartão",
        "gastei R$ {price}",
        "me custou {price} reais",
    ),
    "held_out": (
        "gastei {price} reais",
        "custou {price} no cartão",
        "no pix saiu por R$ {price}",
        "paguei {price} reais",
    ),
}

SCORES = {
    "train": (
        "nota {score}",
        "dou {score} de 5",
        "minha nota é {score}",
        "nota final {score}",
        "dou nota {score}",
        "{score} estrelas",
        "merece nota {score}",
        "leva {score} de 5",
        "avaliação: {score}",
    ),
    "held_out": (
        "minha avaliação é {score} de 5",
        "merece {score} estrelas",
        "nota {score} de 5",
        "dou {score} estrelas",
        "avaliação final: nota {score}",
    ),
}

BUYING_AGAIN: dict[bool, dict[str, tuple[str, ...]]] = {
    True: {
        "train": (
            "compro de novo com certeza",
            "vou comprar outras vezes",
            "voltarei a comprar aqui",
            "já quero comprar mais",
            "com certeza volto",
            "virei cliente da loja",
            "com certeza vou voltar a comprar",
        ),
        "held_out": (
            "vou comprar de novo com certeza",
            "volto outras vezes",
            "quero voltar a comprar aqui",
            "já virei cliente",
        ),
    },
    False: {
        "train": (
            "nunca mais compro aqui",
            "não compro de novo",
            "não volto a comprar",
            "perderam um cliente",
            "aqui não compro mais",
            "jamais compro nessa loja de novo",
            "não volto nunca mais",
        ),
        "held_out": (
            "nunca mais volto nessa loja",
            "perderam o cliente, não volto",
            "jamais compro aqui de novo",
            "não compro nunca mais",
        ),
    },
}

ACTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "troca": {
        "train": (
            "quero trocar o produto",
            "preciso de uma troca",
            "quero a troca",
            "façam a troca por favor",
            "mandem outro no lugar",
            "gostaria de trocar por outro",
        ),
        "held_out": (
            "preciso trocar por outro",
            "por favor mandem outro, quero troca",
            "gostaria de uma troca",
        ),
    },
    "reembolso": {
        "train": (
            "quero meu dinheiro de volta",
            "exijo reembolso",
            "peço o reembolso",
            "devolvam meu dinheiro",
            "quero o estorno",
            "façam o estorno no cartão",
        ),
        "held_out": (
            "peço meu dinheiro de volta",
            "façam o reembolso",
            "exijo o estorno, devolvam",
        ),
    },
    "contato": {
        "train": (
            "me liguem por favor",
            "entrem em contato comigo",
            "aguardo contato",
            "alguém me responda por favor",
            "me chamem no whatsapp",
            "peço que me liguem",
        ),
        "held_out": (
            "por favor entrem em contato",
            "peço que me chamem no whatsapp",
            "aguardo, me liguem",
        ),
    },
}

SIGNATURES = {
    "train": (
        "ass: {name}",
        "- {name}",
        "abraços, {name}",
        "att, {name}",
        "obg, {name}",
        "assinado {name}",
        "{name}, de {city}",
        "meu nome é {name}",
        "aqui é {name}, de {city}",
        "sou {name}",
    ),
    "held_out": (
        "assinado: {name}, de {city}",
        "obg, meu nome é {name}",
        "sou {name}, de {city}",
        "abraços - {name}",
        "obg, aqui é {name}",
    ),
}

# Sentences that state no field.
ASIDES = {
    "train": (
        "comprei pelo aplicativo",
        "era presente de aniversário",
        "segunda compra na loja",
        "comprei na parte de {category}",
        "foi indicação de uma amiga",
        "vi no instagram",
        "moro em {city}",
        "peguei na semana de ofertas",
    ),
    "held_out": (
        "era indicação de aniversário",
        "presente de uma amiga",
        "segunda compra pelo aplicativo",
        "vi na parte de {category}",
        "moro aqui em {city}",
    ),
}
