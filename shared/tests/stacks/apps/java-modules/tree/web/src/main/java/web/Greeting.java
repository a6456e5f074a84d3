package web;

class Greeting {
}
