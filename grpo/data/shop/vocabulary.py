"""The shop's words: products and people, each with a training side and a held-out side, and the names of Brazilian places."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

Side = Literal["train", "held_out"]


class Product(NamedTuple):
    """A product as a text names it; `gender` is `o` or `a`, and the articles follow from it."""

    name: str
    gender: str

    @property
    def articles(self) -> dict[str, str]:
        """The words that agree with the product, as slots of a sentence template."""
        feminine = self.gender == "a"
        return {
            "product": self.name,
            "art": self.gender,
            "um": "uma" if feminine else "um",
            "do": "da" if feminine else "do",
            "no": "na" if feminine else "no",
            "seu": "sua" if feminine else "seu",
        }


_PRODUCTS_O = {
    "train": (
        "fone bluetooth|teclado sem fio|carregador portátil|liquidificador|ventilador|micro-ondas|aspirador|secador|"
        "barbeador|tapete|travesseiro|edredom|colchão inflável|sofá-cama|guarda-roupa|relógio|tênis de corrida|"
        "chinelo|casaco|vestido|perfume|creme facial|protetor solar|batom|kit de pincéis|jogo de panelas|"
        "jogo de lençol|faqueiro|espremedor|fogão|tablet|celular|roteador|monitor|pendrive|mouse gamer|"
        "carrinho de bebê|berço|quebra-cabeça|boneco|violão|livro de receitas|caderno|halter|tapete de yoga|"
        "kit de ferramentas|alicate|regador|vaso de cerâmica|comedouro|brinquedo educativo|suporte de tv"
    ),
    "held_out": (
        "grill elétrico|projetor|microfone|notebook|umidificador|purificador|cobertor|abajur|blazer|macacão|"
        "sérum|hidratante|xampu|escorredor|triciclo|fantoche|pandeiro|dicionário|patinete|serrote|aquário|"
        "arranhador"
    ),
}
_PRODUCTS_A = {
    "train": (
        "batedeira|cafeteira|chaleira elétrica|torradeira|panela de pressão|geladeira|máquina de costura|furadeira|"
        "parafusadeira|caixa de som|câmera digital|impressora|televisão|smart tv|mochila|bolsa de couro|carteira|"
        "jaqueta jeans|calça|camiseta|sandália|bota|pulseira|escova de cabelo|chapinha|maquiagem|toalha de banho|"
        "cortina|colcha|almofada|cadeira gamer|mesa dobrável|estante|luminária|poltrona|bicicleta|esteira|bola|"
        "boneca|cama de cachorro|ração|mangueira|trena|lanterna|garrafa térmica|lancheira|caneca|agenda"
    ),
    "held_out": (
        "fritadeira|sanduicheira|pipoqueira|lixadeira|webcam|filmadora|blusa|saia|gargantilha|loção|esponja|manta|"
        "rede de descanso|cômoda|banqueta|raquete|corda de pular|pelúcia|coleira|enxada|marmita|luneta"
    ),
}
# Words that agree with both genders, so that no template has to inflect them.
_QUALIFIERS = {
    "train": "azul|verde|cinza|rosa|grande|portátil|premium|infantil|110v|220v|com LED|bivolt|slim|2 em 1",
    "held_out": "laranja|lilás|marrom|flex|turbo|prime|com USB|3 em 1|mini",
}
_FIRST_NAMES = {
    "train": (
        "Ana|Maria|João|José|Pedro|Lucas|Mateus|Gabriel|Rafael|Bruno|Carlos|Daniel|Eduardo|Felipe|Fernando|Gustavo|"
        "Henrique|Igor|Jorge|Leonardo|Luiz|Marcelo|Marcos|Paulo|Ricardo|Roberto|Rodrigo|Sérgio|Thiago|Vinícius|"
        "Adriana|Aline|Amanda|Beatriz|Bruna|Camila|Carla|Carolina|Cláudia|Cristina|Daniela|Débora|Fernanda|Gabriela|"
        "Helena|Isabela|Jéssica|Joana|Juliana|Júlia|Larissa|Letícia|Lívia|Luana|Luciana|Mariana|Marta|Natália|"
        "Patrícia|Paula|Priscila|Renata|Rita|Sandra|Simone|Sofia|Tatiane|Vanessa|Vera|Viviane|Yasmin|Caio|Davi|"
        "Diego|Enzo|Fábio|Heitor|Hugo|Ivan|Júnior|Leandro|Márcio|Miguel|Murilo|Nelson|Otávio|Raul|Renan|Samuel|"
        "Tadeu|Wagner|Alice|Bianca|Cecília|Elaine|Flávia|Giovana|Ingrid|Kelly|Lorena|Manuela|Mônica|Rosana|Valéria"
    ),
    "held_out": (
        "Antônio|Arthur|Benício|César|Douglas|Emerson|Francisco|Geraldo|Humberto|Ícaro|Jonas|Kauã|Lauro|Maurício|"
        "Nícolas|Osvaldo|Renato|Rubens|Tomás|Ulisses|Valter|William|Agatha|Bárbara|Clarice|Denise|Eliane|Fabiana|"
        "Graziela|Heloísa|Iara|Janaína|Karina|Laís|Marina|Noemi|Olívia|Raquel|Silvana|Tânia|Úrsula|Vilma"
    ),
}
_SURNAMES = {
    "train": (
        "Silva|Souza|Oliveira|Pereira|Lima|Ferreira|Costa|Rodrigues|Almeida|Nascimento|Araújo|Ribeiro|Carvalho|Gomes|"
        "Martins|Rocha|Dias|Barbosa|Teixeira|Moreira|Nunes|Cardoso|Mendes|Freitas|Castro|Andrade|Pinto|Moura|"
        "Cavalcanti|Batista|Campos|Correia|Duarte|Farias|Garcia|Lopes|Machado|Melo|Monteiro|Neves|Peixoto|Queiroz"
    ),
    "held_out": (
        "Azevedo|Bezerra|Coelho|Drummond|Esteves|Fonseca|Guimarães|Hoffmann|Junqueira|Lacerda|Magalhães|Novaes|"
        "Pacheco|Quintana|Rezende|Siqueira|Tavares|Uchoa|Vasconcelos|Xavier"
    ),
}

STATES = {
    "AC": "do Acre", "AL": "de Alagoas", "AM": "do Amazonas", "AP": "do Amapá", "BA": "da Bahia", "CE": "do Ceará",
    "DF": "do Distrito Federal", "ES": "do Espírito Santo", "GO": "de Goiás", "MA": "do Maranhão",
    "MG": "de Minas Gerais", "MS": "do Mato Grosso do Sul", "MT": "do Mato Grosso", "PA": "do Pará",
    "PB": "da Paraíba", "PE": "de Pernambuco", "PI": "do Piauí", "PR": "do Paraná", "RJ": "do Rio de Janeiro",
    "RN": "do Rio Grande do Norte", "RO": "de Rondônia", "RR": "de Roraima", "RS": "do Rio Grande do Sul",
    "SC": "de Santa Catarina", "SE": "de Sergipe", "SP": "de São Paulo", "TO": "do Tocantins",
}  # fmt: skip
"""Each state's code, and its name with the preposition that goes with it."""

MONTHS = ("janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro",
          "novembro", "dezembro")  # fmt: skip

CATEGORY_LABELS = {
    "beleza_saude": "beleza e saúde",
    "cama_mesa_banho": "cama, mesa e banho",
    "esporte_lazer": "esporte e lazer",
    "informatica_acessorios": "informática",
    "moveis_decoracao": "móveis e decoração",
    "utilidades_domesticas": "utilidades domésticas",
    "relogios_presentes": "relógios e presentes",
    "telefonia": "telefonia",
    "ferramentas_jardim": "ferramentas e jardim",
    "automotivo": "automotivo",
    "brinquedos": "brinquedos",
    "cool_stuff": "novidades",
    "perfumaria": "perfumaria",
    "bebes": "bebês",
    "eletronicos": "eletrônicos",
    "papelaria": "papelaria",
    "pet_shop": "pet shop",
}


def label_category(category: str) -> str:
    """The category as a person writes it; one that Olist has and this list has not loses its underscores."""
    return CATEGORY_LABELS.get(category, category.replace("_", " "))


def label_month(month: str) -> str:
    """`2018-03` as `março de 2018`."""
    year, number = month.split("-")
    return f"{MONTHS[int(number) - 1]} de {year}"


def _split(words: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {side: tuple(text.split("|")) for side, text in words.items()}


PRODUCTS: dict[str, tuple[Product, ...]] = {
    side: tuple(Product(name, "o") for name in _PRODUCTS_O[side].split("|"))
    + tuple(Product(name, "a") for name in _PRODUCTS_A[side].split("|"))
    for side in ("train", "held_out")
}
QUALIFIERS = _split(_QUALIFIERS)
FIRST_NAMES = _split(_FIRST_NAMES)
SURNAMES = _split(_SURNAMES)


def names_held_out_person(place: str) -> bool:
    """Whether a place's name holds a held-out customer's (Antônio Prado), which training texts must not show."""
    held_out = {_fold(name) for name in (*FIRST_NAMES["held_out"], *SURNAMES["held_out"])}
    return not held_out.isdisjoint(_fold(place).split())


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


# The small shop: words of one token each, whose combinations are held out.
_SMALL = _split(
    {
        "o": "tapete|relógio|casaco|vestido|perfume|tablet|celular|monitor|caderno|violão|teclado|ventilador",
        "a": "mochila|carteira|camiseta|bota|cortina|cadeira|estante|bicicleta|caneca|agenda|bola|boneca",
        "qualifiers": "azul|verde|cinza|rosa|grande|infantil|slim|premium",
        "first_names": "Ana|Maria|João|José|Pedro|Lucas|Gabriel|Rafael|Bruno|Carlos|Camila|Carla|Júlia|Paula|Renata|"
        "Sofia|Hugo|Diego|Alice|Bianca",
        "surnames": "Silva|Souza|Lima|Costa|Rocha|Dias|Gomes|Nunes|Castro|Moura|Lopes|Melo",
    }
)
_SMALL_PRODUCTS = tuple(Product(name, gender) for gender in ("o", "a") for name in _SMALL[gender])


def pick_product(rng: random.Random, side: Side, small: bool = False) -> Product:
    """A product of one side, in two of five cases with a colour, a size or a model; in the small shop always with one."""
    if small:
        product, qualifier = _draw_pair(rng, _SMALL_PRODUCTS, _SMALL["qualifiers"], side)
        return Product(f"{product.name} {qualifier}", product.gender)
    product = rng.choice(PRODUCTS[side])
    if rng.random() < 0.4:
        return Product(f"{product.name} {rng.choice(QUALIFIERS[side])}", product.gender)
    return product


def pick_name(rng: random.Random, side: Side, small: bool = False) -> str:
    """A customer's name: a first name, in half the cases with a surname of the same side.

    The sides share no word. In the small shop they share all: what is held out is the combination, Ana Souza where
    training has Ana Lima and Hugo Souza, and every name has both parts.
    """
    if small:
        return " ".join(_draw_pair(rng, _SMALL["first_names"], _SMALL["surnames"], side))
    first = rng.choice(FIRST_NAMES[side])
    return f"{first} {rng.choice(SURNAMES[side])}" if rng.random() < 0.5 else first


def _draw_pair(rng: random.Random, firsts: Sequence[Any], seconds: Sequence[Any], side: Side) -> tuple[Any, Any]:
    """One of each; every fourth combination is held out."""
    while True:
        first, second = rng.randrange(len(firsts)), rng.randrange(len(seconds))
        if ((first + 3 * second) % 4 == 0) == (side == "held_out"):
            return firsts[first], seconds[second]
